"""The formal model in `protocol/model`, checked: every state of small systems, and variants that must be refuted.

`system_*` holds runs of the explorer's system against it, and `coverage` says what is taken of it.
`configurations` has what is checked and what is expected of it, `tlc` runs TLC, `behaviour` tells a counterexample in
short, `command` is the command `rescind conformance model`.
"""
