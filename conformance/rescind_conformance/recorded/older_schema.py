"""What a schema of another version reads in a frame, as `wire.to_json` writes it: to be compared with today's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import capnp


class OlderSchema:
    """A `message.capnp` of another version, read by itself: today's can then not collide with it."""

    def __init__(self, path: Path) -> None:
        # Both are kept: what a parser has loaded lives as long as it does.
        self._parser = capnp.SchemaParser()
        self._schema: Any = self._parser.load(str(path))

    def read(self, frame: bytes) -> dict[str, Any]:
        """The message, with every field that this schema has. Raises pycapnp's errors on what it cannot read."""
        with self._schema.Message.from_bytes(frame) as root:
            name = str(root.which)
            return {name: _shown(getattr(root, name))}


def _shown(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case capnp.lib.capnp._DynamicStructReader():
            return {name: _shown(getattr(value, name)) for name in value.schema.fieldnames}
        case capnp.lib.capnp._DynamicListReader():
            return [_shown(element) for element in value]
        case capnp.lib.capnp._DynamicEnum():
            try:
                return str(value)
            except RuntimeError:  # it has no name for it
                return value.raw
    return value


def says_the_same(newer: Any, older: Any) -> bool:
    """Whether all that `older` says is in `newer`, which may say more: fields that were added since."""
    if isinstance(older, dict):
        return isinstance(newer, dict) and all(
            name in newer and says_the_same(newer[name], value) for name, value in older.items()
        )
    if isinstance(older, list):
        return len(newer) == len(older) and all(map(says_the_same, newer, older))
    return bool(newer == older)
