"""Text of a subject as it may be shown: on terminals, in XML and in HTML."""

from __future__ import annotations

import re
from typing import Any

_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters but tab and newline, halves of surrogate pairs, and what is no character."""


def visible(text: str) -> str:
    """The text, with what a terminal would act on and what XML cannot hold written as `\\x1b` or `\\ud800`."""
    return _INVISIBLE.sub(_escaped, text)


def visible_json(value: Any) -> Any:
    """A JSON value with each text in it as `visible` writes it; names of fields too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [visible_json(one) for one in value]
    if isinstance(value, dict):
        return {visible(name): visible_json(one) for name, one in value.items()}
    return value


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
