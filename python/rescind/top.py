"""`rescind top`: what a scheduler or worker with --status does, seen each second."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

Status = Mapping[str, Any]

_VERSION: Final = 1
_PATIENCE: Final = 10.0
"""Seconds that an answer may take."""
_MOST_PEERS: Final = 15
"""Peers of each role that are shown; those with the most tasks come first."""
_DIRECTLY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A status is next door: what the environment says of proxies (`http_proxy`) is not for it."""
_RATES: Final = ("accepted", "ended", "cancels", "moves", "dropped", "started")
"""Members that only grow."""


class StatusNotFound(OSError):
    """Nobody tells how it is there; the text says who could."""


def fetch(url: str) -> Status:
    """The status that is served at `url`, a whole URL or a host and port. Raises `StatusNotFound`, `ValueError`."""
    whole = url if "://" in url else f"http://{url}"
    if urlsplit(whole).scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is no address of a status: give one like 127.0.0.1:9363")
    place = whole.rstrip("/").removesuffix("/status")
    try:
        with _DIRECTLY.open(f"{place}/status", timeout=_PATIENCE) as answer:
            found = json.load(answer)
        if not isinstance(found, dict) or found.get("role") not in ("scheduler", "worker"):
            raise ValueError("what answers is no scheduler or worker")
        if found.get("version") != _VERSION:
            raise ValueError(f"its status is of version {found.get('version')}, and this reads version {_VERSION}")
    except (OSError, ValueError, HTTPException) as error:
        raise StatusNotFound(
            f"no status at {place}: {_reason(error)}. Start a scheduler or worker with "
            f"`--status {urlsplit(place).netloc}`, or name the address of one"
        ) from error
    return found


def _reason(error: Exception) -> object:
    if isinstance(error, urllib.error.HTTPError) and error.code == HTTPStatus.SERVICE_UNAVAILABLE:
        return "it is there, and has not answered for some seconds"
    if isinstance(error, HTTPException):
        return f"it cannot be spoken to by HTTP ({type(error).__name__})"
    return error.reason if isinstance(error, urllib.error.URLError) else error


def rates(before: Status | None, now: Status) -> dict[str, float]:
    """How much of each kind happened in a second between two looks; since the start where there was none before."""
    earlier: Status = before if before is not None and before["started_at"] == now["started_at"] else {}
    seconds = now["now"] - earlier.get("now", now["started_at"])
    return {
        member: (_sum(now[member]) - _sum(earlier.get(member, 0))) / max(seconds, 1e-3)
        for member in _RATES
        if member in now
    }


def show(now: Status, per_second: Mapping[str, float]) -> RenderableType:
    """The view: one table for what it does, one for its peers, one for what it dropped."""
    title = f"{now['role']} {now['endpoint']}: {now['phase']}, up {_duration(now['now'] - now['started_at'])}"
    summary = Table("", "now", "in all", "a second")
    for column in summary.columns[1:]:
        column.justify = "right"
    states = {state: count for state, count in now["tasks"].items() if count}
    summary.add_row("tasks", f"{_sum(states):,}", "", "")
    for state, count in states.items():
        summary.add_row(f"  {state}", f"{count:,}", "", "")
    for whose, count in now.get("rounds", {}).items():
        summary.add_row(f"cancel rounds: {whose}", f"{count:,}", "", "")
    for member, rate in per_second.items():
        summary.add_row(member, "", f"{_sum(now[member]):,}", f"{rate:,.1f}")
        for kind, count in now[member].items() if isinstance(now[member], dict) and member != "dropped" else ():
            if count:
                summary.add_row(f"  {kind}", "", f"{count:,}", "")
    parts: list[RenderableType] = [escape(title), summary]
    for role, columns in _PEERS.items():
        if role in now:
            parts.append(_peers(role, now[role], now["peers"][role.removesuffix("s")], columns))
    if now["dropped"]:
        dropped = Table("dropped", "in all")
        for reason, count in sorted(now["dropped"].items(), key=lambda item: -item[1]):
            dropped.add_row(escape(reason), f"{count:,}")
        parts.append(dropped)
    return Group(*parts)


_PEERS: Final[Mapping[str, tuple[str, ...]]] = {
    "workers": ("tasks", "queue_size", "silent_seconds"),
    "clients": ("tasks", "graphs", "bytes", "silent_seconds"),
}


def _peers(role: str, peers: list[dict[str, Any]], count: int, columns: tuple[str, ...]) -> Table:
    table = Table()
    table.add_column(f"{role} ({count:,})", overflow="fold")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for each in sorted(peers, key=lambda peer: -peer["tasks"])[:_MOST_PEERS]:
        table.add_row(escape(each["id"]), *(f"{each[column]:,}" for column in columns))
    if count > _MOST_PEERS:
        table.add_row(f"and {count - _MOST_PEERS:,} more with fewer tasks", *[""] * len(columns))
    return table


def looks(url: str, interval: float, *, once: bool) -> Iterator[tuple[Status, dict[str, float]]]:
    """A status and its rates, now and after each `interval` in seconds. Raises `StatusNotFound` when there is none."""
    before: Status | None = None
    while True:
        now = fetch(url)
        yield now, rates(before, now)
        if once:
            return
        before = now
        time.sleep(interval)


def watch(url: str, interval: float, *, once: bool, as_json: bool) -> None:
    """Print one look, or follow until interrupted; a terminal sees one view that changes. Raises `StatusNotFound`."""
    console = Console()
    found = looks(url, interval, once=once)
    if as_json:
        for now, per_second in found:
            print(json.dumps({**now, "per_second": per_second}), flush=True)
    elif once or not console.is_terminal:
        for now, per_second in found:
            console.print(show(now, per_second))
    else:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for now, per_second in found:
                live.update(show(now, per_second), refresh=True)


def _sum(value: Any) -> float:
    return sum(value.values()) if isinstance(value, dict) else value


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
