"""What a scheduler's peers see of its life: later what it sends, and earlier what it handles."""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence

from rescind_conformance.judge.outside import Seen
from rescind_conformance.judge.records import SCHEDULER, EventRecord, MessageRecord, Record


def seen_by_peers(
    records: Sequence[Record], delay: float, chance: random.Random, fences: Sequence[int] = ()
) -> list[Seen]:
    """The same records by the clock of the peers. Each message takes so many records on its way at most; on each
    connection, in each direction, they keep their order (T3), and none is on its way at a fence (a place in
    `records`). What happened unseen may have happened from then on.
    """
    times: list[tuple[float, int, Seen]] = []
    last: dict[str, float] = {}
    walls = (0, *fences, len(records))
    for index in reversed(range(len(records))):
        record = records[index]
        if isinstance(record, MessageRecord) and record.receiver == SCHEDULER:
            lane = f"{record.sender} to S"
            before = walls[bisect.bisect_right(walls, index) - 1]
            sent = max(before - 0.5, min(last.get(lane, index), index - chance.random() * delay))
            last[lane] = sent
            times.append((sent, index, Seen(record, lane, came=False)))
    for index, record in enumerate(records):
        if isinstance(record, EventRecord):
            happens = index - chance.random() * delay
            times.append((happens, index, Seen(record, f"event {index}", came=False, optional=True)))
        elif record.sender == SCHEDULER:
            lane = f"S to {record.receiver}"
            after = walls[bisect.bisect_right(walls, index)]
            came = min(after - 0.5, max(last.get(lane, index), index + chance.random() * delay))
            last[lane] = came
            times.append((came, index, Seen(record, lane, came=True)))
    return [seen for _, _, seen in sorted(times, key=lambda one: (one[0], one[1]))]
