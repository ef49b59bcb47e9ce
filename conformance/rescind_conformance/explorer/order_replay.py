"""`rescind conformance replay` for a file that `explore` has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from rescind_conformance.explorer.counterexample import told_lines
from rescind_conformance.explorer.order_file import play_order
from rescind_conformance.subjects import version_of


def replay_order(document: Mapping[str, Any], console: Console) -> list[bool]:
    """Take the steps again and print them; for each departure of the file, whether it is seen again.

    Raises `UnreadableReplay`.
    """

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    played = play_order(document)
    recorded = f"{document['subject'].get('name')} {document['subject'].get('version')}".strip()
    now = f"the reference's machines {version_of('rescind')}".strip()
    say(f"{document['case']}, recorded of {recorded}, played over {now}", "bold")
    say("After the first heartbeats:", "bold")
    for line in told_lines(played.steps, played.scenario.names):
        say(f"  {line}")
    lines = [*played.differences, *([played.stuck] if played.stuck else [])]
    say("It goes another way than the recording:" if lines else "It goes as the recording goes.", "bold")
    for line in lines:
        say(f"  {line}")
    for violation in played.found:
        if all(violation.requirement != departure["requirement"] for departure in document["departures"]):
            say(f"broken besides: {violation.requirement} {violation.text}", "red")
    return played.again(document)
