"""A status as Prometheus reads it: one metric a line of `METRICS`, each a member of the document of `/status`.

Peers are no labels: a new routing id with every life would make a new time series each. `/status` has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rescind.status_desk import Document

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Row(NamedTuple):
    """A metric, and which member of the document it is; with a label, that member is a table by its values."""

    name: str
    """Without `rescind_scheduler_` or `rescind_worker_`; of a counter without `_total`."""
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    help: str
    member: str
    label: str = ""


_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily
_BOTH: Final = (
    Row("start_time_seconds", _GAUGE, "When it started, in seconds since 1970.", "started_at"),
    Row("phase", _GAUGE, "1 for what it does: serving, draining, closing.", "phase", "phase"),
    Row("dropped", _COUNTER, "Messages that had no effect, by reason.", "dropped", "reason"),
)
METRICS: Final[Mapping[str, tuple[Row, ...]]] = {
    "scheduler": (
        *_BOTH,
        Row("tasks", _GAUGE, "Tasks held, by state.", "tasks", "state"),
        Row("tasks_accepted", _COUNTER, "Tasks that were accepted, nodes of graphs included.", "accepted"),
        Row("tasks_ended", _COUNTER, "Tasks that have ended, by how.", "ended", "how"),
        Row("cancels", _COUNTER, "What cancels came to, by answer.", "cancels", "answer"),
        Row("cancel_rounds", _GAUGE, "Cancel rounds that are open, by whose they are.", "rounds", "of"),
        Row("moves", _COUNTER, "Tasks that were to move to another worker, by what came of it.", "moves", "outcome"),
        Row("graphs", _GAUGE, "Graphs held.", "graphs"),
        Row("held_bytes", _GAUGE, "Bytes of the messages of tasks held, as limits count them.", "held_bytes"),
        Row("peers", _GAUGE, "Clients and workers that are registered.", "peers", "role"),
        Row("places", _GAUGE, "Tasks that all workers together take at once.", "places"),
    ),
    "worker": (
        *_BOTH,
        Row("tasks", _GAUGE, "Tasks held, by state.", "tasks", "state"),
        Row("tasks_started", _COUNTER, "Tasks whose process was told to start them.", "started"),
        Row("tasks_ended", _COUNTER, "Tasks that have ended, by the answer that was sent.", "ended", "how"),
        Row("cancels", _COUNTER, "What cancels were answered.", "cancels", "answer"),
        Row("processes", _GAUGE, "Tasks that it runs at once.", "processes"),
        Row("lives", _COUNTER, "How often it has joined a scheduler.", "lives"),
    ),
}


def exposition(document: Document) -> bytes:
    """The document of `/status` in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Document(document))
    return generate_latest(registry)


class _Document(Collector):
    def __init__(self, document: Document) -> None:
        self._document = document

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        role = str(self._document["role"])
        for row in METRICS[role]:
            value = self._document[row.member]
            if row.name == "phase":
                value = {each: int(each == value) for each in ("serving", "draining", "closing")}
            name = f"rescind_{role}_{row.name}"
            family = row.kind(name, row.help, labels=[row.label] if row.label else [])
            table = cast("Mapping[str, float]", value) if row.label else {None: cast("float", value)}
            for label, number in table.items():
                family.add_metric([label] if label is not None else [], number)
            yield family
