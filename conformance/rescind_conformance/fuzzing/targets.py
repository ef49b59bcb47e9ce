"""What is fuzzed, by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from rescind_conformance.fuzzing.client_target import play_client
from rescind_conformance.fuzzing.scheduler_target import play_scheduler
from rescind_conformance.fuzzing.wire_target import check_frame
from rescind_conformance.fuzzing.worker_target import play_worker

Check = Callable[[bytes], None]
"""Takes any bytes. Raises if something is wrong."""
_JUDGED_OF: Final = 8
"""While fuzzing, the judge reads one life of so many: it takes ten times as long as the machine."""


class TargetName(StrEnum):
    """What can be fuzzed."""

    WIRE = "wire"
    SCHEDULER = "scheduler"
    CLIENT = "client"
    WORKER = "worker"


_MACHINES: Final = {
    TargetName.SCHEDULER: play_scheduler,
    TargetName.CLIENT: play_client,
    TargetName.WORKER: play_worker,
}


def check_of(name: TargetName, *, every: bool = True) -> Check:
    """The check of a target. `every`: each life is judged; otherwise those that a checksum of the input picks."""
    if name is TargetName.WIRE:
        return check_frame
    play = _MACHINES[name]
    return lambda data: play(data, judged=every or zlib.crc32(data) % _JUDGED_OF == 0)
