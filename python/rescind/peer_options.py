"""What users tell clients, workers and schedulers, checked where it comes in; each check raises `ValueError`."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from rescind.messages import ObjectStorageAddress

_LONGEST_NAME = 200
"""Bytes; a routing id has up to 255 (T1)."""
MOST_MESSAGES: Final = 2**31 - 1
"""That a queue can be told to hold: ZeroMQ takes 32 bits."""
LONGEST_SECONDS: Final = MOST_MESSAGES // 1000
"""24 days: ZeroMQ is told milliseconds, in as many bits."""


def check_endpoint(endpoint: str, *, to_bind: bool = False) -> None:
    """A ZeroMQ endpoint over TCP or a Unix socket; `to_bind`: port 0 or * takes a free one."""
    tcp = re.fullmatch(r"tcp://\S+:([0-9]{1,5}|\*)", endpoint)
    if tcp is not None:
        free = tcp[1] in ("0", "*")
        if to_bind if free else 0 < int(tcp[1]) <= 0xFFFF:
            return
    elif re.fullmatch(r"ipc://\S+", endpoint):
        return
    raise ValueError(f"{endpoint!r} is no endpoint: give one like tcp://127.0.0.1:6378 or ipc:///tmp/scheduler")


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint that is bound, as ZeroMQ tells it, can be reached from this machine only."""
    tcp = re.fullmatch(r"tcp://\[?([^\]%]+)(?:%[^\]]*)?\]?:\d+", endpoint)
    return tcp is None or ipaddress.ip_address(tcp[1]).is_loopback


def parse_storage_address(text: str) -> ObjectStorageAddress:
    """The address of Scaler's object storage server, as its options write it."""
    tcp = re.fullmatch(r"tcp://(\S+):([0-9]{1,5})", text)
    if tcp is not None and 0 < int(tcp[2]) <= 0xFFFF:
        return ObjectStorageAddress(tcp[1], int(tcp[2]), "tcp")
    ipc = re.fullmatch(r"ipc://(\S+)", text)
    if ipc is not None:
        return ObjectStorageAddress(ipc[1], 0, "ipc")
    raise ValueError(
        f"{text!r} is no address of an object storage server: give one like tcp://127.0.0.1:6379; "
        "TLS and web sockets are not supported"
    )


def check_name(name: str) -> None:
    """A name that becomes part of a routing id."""
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"the name has {len(name.encode())} bytes; at most {_LONGEST_NAME} are allowed")


def check_seconds(what: str, seconds: float, *, or_none: bool = False) -> None:
    """A time that is not endless, and more than none, unless `or_none`."""
    if not (0 < seconds <= LONGEST_SECONDS or (or_none and seconds == 0)):
        least = "0" if or_none else "more than 0"
        raise ValueError(f"{what} must be {least} seconds, and at most {LONGEST_SECONDS:,}, not {seconds:g}")


def check_times(heartbeat_interval: float, scheduler_timeout: float) -> None:
    """A peer's times, in seconds: it beats more often than it may be silent."""
    check_seconds("heartbeat_interval", heartbeat_interval)
    check_seconds("scheduler_timeout", scheduler_timeout)
    if heartbeat_interval >= scheduler_timeout:
        raise ValueError(
            f"heartbeat_interval ({heartbeat_interval:g} s) must be "
            f"less than scheduler_timeout ({scheduler_timeout:g} s)"
        )
