"""Hypothesis strategies for the protocol's messages: any value that the schema allows, long ones included."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar

from hypothesis import strategies as st

from rescind import messages as m

_E = TypeVar("_E", bound=IntEnum)


def messages(*, unknown_enumerants: bool = True) -> st.SearchStrategy[m.Message]:
    """Any message. With `unknown_enumerants`, enumerations also have numbers that they do not name."""
    return st.one_of(list(messages_by_type(unknown_enumerants=unknown_enumerants).values()))


def messages_by_type(*, unknown_enumerants: bool = True) -> dict[type[m.Message], st.SearchStrategy[m.Message]]:
    """For each type of message a strategy for messages of that type."""

    def enumerants(enum: type[_E]) -> st.SearchStrategy[_E | int]:
        known = st.sampled_from(enum)
        if not unknown_enumerants:
            return known
        return known | st.integers(len(enum), 2**16 - 1)

    # Short and random, or long and plain: it is their length that makes a frame need several segments.
    data = st.binary(max_size=64) | st.integers(0, 20_000).map(bytes)
    text = st.text(st.characters(codec="utf-8"), max_size=64) | st.integers(0, 20_000).map("ä".__mul__)
    task_id = st.binary(min_size=1, max_size=255)
    uint16, uint32, uint64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
    argument = st.builds(m.Argument, enumerants(m.ArgumentType), data)
    capability = st.builds(m.Capability, text, st.integers(-(2**63), 2**63 - 1))
    resource = st.builds(m.Resource, uint16, uint64)
    address = st.builds(m.ObjectStorageAddress, text, uint16, text)
    processor = st.builds(
        m.ProcessorStatus,
        pid=uint32,
        initialized=st.booleans(),
        has_task=st.booleans(),
        suspended=st.booleans(),
        resource=resource,
        current_task_id=data,
        task_age_seconds=uint32,
    )
    task = st.builds(m.Task, task_id, data, data, data, _tuples(argument), _tuples(capability))
    worker_heartbeat = st.builds(
        m.WorkerHeartbeat,
        agent=resource,
        rss_free=uint64,
        queue_size=uint32,
        queued_tasks=uint32,
        latency_microseconds=uint32,
        task_lock=st.booleans(),
        processors=_tuples(processor),
        capabilities=_tuples(capability),
        worker_manager_id=data,
        mem_limit=uint64,
        hostname=text,
        net_sent_bytes=uint64,
        net_recv_bytes=uint64,
    )
    return {
        m.Task: task,
        m.TaskCancel: st.builds(m.TaskCancel, task_id, st.booleans()),
        m.TaskCancelConfirm: st.builds(m.TaskCancelConfirm, task_id, enumerants(m.CancelConfirmType)),
        m.TaskResult: st.builds(m.TaskResult, task_id, enumerants(m.TaskResultType), data, _tuples(data)),
        m.TaskLog: st.builds(m.TaskLog, task_id, enumerants(m.TaskLogType), text),
        m.GraphTask: st.builds(m.GraphTask, task_id, data, _tuples(data), _tuples(task)),
        m.ObjectInstruction: st.just(m.ObjectInstruction()),
        m.ClientHeartbeat: st.builds(m.ClientHeartbeat, resource, uint32, text),
        m.ClientHeartbeatEcho: st.builds(m.ClientHeartbeatEcho, address),
        m.WorkerHeartbeat: worker_heartbeat,
        m.WorkerHeartbeatEcho: st.builds(m.WorkerHeartbeatEcho, address),
        m.ClientDisconnect: st.builds(m.ClientDisconnect, enumerants(m.DisconnectType)),
        m.ClientShutdownResponse: st.builds(m.ClientShutdownResponse, st.booleans()),
        m.WorkerDisconnectNotification: st.just(m.WorkerDisconnectNotification()),
    }


def _tuples(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(elements, max_size=4).map(tuple)
