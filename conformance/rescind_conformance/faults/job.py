"""One of the processes that play episodes: `run` asks it for one after another."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rescind_conformance.faults.episode import Report, play
from rescind_conformance.faults.nursery import Nursery
from rescind_conformance.faults.plan import draw_plan
from rescind_conformance.process import SubjectUnavailable

_PR_SET_PDEATHSIG = 1
REPORT = "report.txt"
_UNSEEN = ", the moment did not come"


def serve(inherited: int) -> None:
    """Play what standard input says, a JSON object a line, and answer each with one."""
    folder = Path(tempfile.mkdtemp(prefix="rescind-faults-"))
    nursery = Nursery(folder, folder / "nursery.log", [inherited])
    try:
        print(json.dumps({"disk": nursery.has_disk}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(_play(order, nursery, folder / str(order["episode"]))), flush=True)
    finally:
        nursery.stop()


def _play(order: Mapping[str, Any], nursery: Nursery, folder: Path) -> dict[str, Any]:
    plan = draw_plan(order["seed"], order["episode"], order["faults"], order["kinds"])
    folder.mkdir()
    try:
        report = play(plan, nursery, folder)
    except SubjectUnavailable as unavailable:
        return {"unavailable": str(unavailable)}
    except Exception:
        return {"unavailable": f"the harness failed in episode {order['episode']}:\n{traceback.format_exc()}"}
    lines = told(report) if report.problems else []
    if lines:
        target = Path(order["output"]) / f"seed-{order['seed']}-episode-{order['episode']}"
        lines.append(f"  traces and logs: {keep(folder, lines, target)}")
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "episode": plan.episode,
        "kinds": [each.fault.kind.name for each in report.struck if each.took_effect],
        "in_time": sum(each.seen and each.took_effect for each in report.struck),
        "told": lines,
        "counts": report.counts,
        "seconds": report.seconds,
    }


def keep(folder: Path, lines: Sequence[str], target: Path) -> str:
    """Keep what an episode has left; where, or why it could not be kept."""
    try:
        (folder / REPORT).write_text("\n".join(lines) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
    except OSError as error:
        return f"not kept: {error}. Choose another --output"
    return str(target)


def told(report: Report) -> list[str]:
    """What went wrong, and the faults before it."""
    lines = [f"seed {report.plan.seed}, episode {report.plan.episode}: {len(report.problems)} found"]
    lines += [f"  {problem}" for problem in report.problems]
    lines += [
        f"  {each.at:.3f}  {each.fault}: {each.where or 'nobody was there'}{'' if each.seen else _UNSEEN}"
        for each in report.struck
    ]
    return lines


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() == int(sys.argv[2]):
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            serve(int(sys.argv[1]))
