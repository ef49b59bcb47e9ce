"""Captures made of bytes: TCP segments between a peer and a scheduler; and what tshark says of them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

DISSECTOR = Path(__file__).parent.parent / "wireshark" / "rescind.lua"
PORT = 6378
PEER_PORT = 40000

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed (apt install tshark)")

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)


def ready(socket_type: bytes, identity: bytes = b"") -> bytes:
    """A READY command as ZeroMQ sends it."""
    properties = b"".join(
        bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
        for name, value in ((b"Socket-Type", socket_type), (b"Identity", identity))
    )
    return framed(b"\x05READY" + properties, flags=4)


def framed(content: bytes, *, flags: int = 0) -> bytes:
    """A frame of ZMTP."""
    if len(content) > 255:
        return struct.pack(">BQ", flags | 2, len(content)) + content
    return bytes([flags, len(content)]) + content


def capture(path: Path, segments: Iterable[tuple[bool, bytes]]) -> Path:
    """A capture of one connection: whether a segment goes to the scheduler, and its bytes, at most 60,000."""
    sequence = {True: 1, False: 1}
    with path.open("wb") as stream:
        stream.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        for number, (to_scheduler, data) in enumerate(segments):
            ports = (PEER_PORT, PORT) if to_scheduler else (PORT, PEER_PORT)
            tcp = struct.pack(
                ">HHIIBBHHH", *ports, sequence[to_scheduler], sequence[not to_scheduler], 0x50, 0x18, 65535, 0, 0
            )
            hosts = (b"\x7f\0\0\x01",) * 2
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), number & 0xFFFF, 0x4000, 64, 6, 0, *hosts)
            packet = ip + tcp + data
            stream.write(struct.pack("<IIII", number // 1000, number % 1000 * 1000, len(packet), len(packet)) + packet)
            sequence[to_scheduler] += len(data)
    return path


def tshark(path: Path, *options: str) -> str:
    """What tshark prints. Fails if the dissector raises anywhere."""
    command = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Lua" not in done.stderr, done.stderr
    assert "Lua Error" not in done.stdout, done.stdout
    return done.stdout


def fields(path: Path, names: Sequence[str], *options: str) -> list[list[str]]:
    """By packet that the dissector has read, the values of these fields; several ones separated by commas."""
    selected = [part for name in names for part in ("-e", name)]
    said = tshark(path, "-Y", "rescind", "-T", "fields", "-E", "separator=/t", *selected, *options)
    return [line.split("\t") for line in said.splitlines()]
