"""Coverage-guided fuzzing of the codec and of the machines: bytes that nobody thought of, against what always holds.

A target (`targets`) takes any bytes and raises `Broken`, or whatever else it meets, if something is wrong. Atheris
drives it (`__main__`, in a process of its own); the inputs that reach something new are the corpus, which is checked in
and replayed by a test, without Atheris.
"""
