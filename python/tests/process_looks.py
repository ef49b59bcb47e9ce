"""Looks at processes that may end at any moment: then there is no error, only nothing to see."""

from __future__ import annotations

import psutil


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only has not been reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def name_of(process: psutil.Process) -> str:
    """Its name; empty if it has ended."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
