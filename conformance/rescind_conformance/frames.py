"""Frames that no codec would write: cut, bent, and from other versions of the schema.

They are made from well-formed ones by changing bytes, with nothing but what Cap'n Proto's encoding
says: a segment table of 32-bit numbers, then words of 64 bits, of which the first points to the root.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

WORD = 8


def _body(frame: bytes) -> bytearray:
    """The one segment of a frame."""
    segments, words = struct.unpack_from("<II", frame)
    if segments != 0 or len(frame) != WORD + words * WORD:
        raise ValueError("only frames of one segment can be changed here")
    return bytearray(frame[WORD:])


def _framed(body: bytearray) -> bytes:
    return struct.pack("<II", 0, len(body) // WORD) + bytes(body)


def _target(body: bytearray, index: int) -> tuple[int, int, int]:
    """Of the struct pointer in word `index`: where the struct begins, its words of data, its pointers."""
    low, data, pointers = struct.unpack_from("<iHH", body, index * WORD)
    return index + 1 + (low >> 2), data, pointers


def pointer_at(frame: bytes, *path: int) -> int:
    """The word in which a pointer is: of the root for no path, else of its pointer 0, and so on."""
    body = _body(frame)
    index = 0
    for step in path:
        start, data, _ = _target(body, index)
        index = start + data + step
    return index


def pointer_to(frame: bytes, content: bytes) -> int:
    """The word with the first pointer to a Data that holds just this."""
    body = _body(frame)
    for index in range(len(body) // WORD):
        low, high = struct.unpack_from("<iI", body, index * WORD)
        start = (index + 1 + (low >> 2)) * WORD
        if low & 3 == 1 and high == (len(content) << 3) | 2 and body[start : start + len(content)] == content:
            return index
    raise ValueError("no pointer leads to that")


def with_word(frame: bytes, index: int, low: int, high: int) -> bytes:
    """The frame with one word replaced by two 32-bit numbers."""
    body = _body(frame)
    struct.pack_into("<II", body, index * WORD, low & 0xFFFFFFFF, high)
    return _framed(body)


def with_length(frame: bytes, index: int, length: int) -> bytes:
    """The frame with another length, in bytes, in the pointer to Data or Text in one word."""
    body = _body(frame)
    struct.pack_into("<I", body, index * WORD + 4, (length << 3) | 2)
    return _framed(body)


def with_shared_elements(frame: bytes, *path: int) -> bytes:
    """The frame with a list of pointers at `path` all of whose elements lead to what the first leads to."""
    body = _body(frame)
    index = pointer_at(frame, *path)
    low, high = struct.unpack_from("<iI", body, index * WORD)
    first = index + 1 + (low >> 2)
    for element in range(first + 1, first + (high >> 3)):
        body[element * WORD : (element + 1) * WORD] = _moved_pointer(body, first, element)
    return _framed(body)


def with_member(frame: bytes, number: int) -> bytes:
    """The frame with another number of the envelope's union."""
    body = _body(frame)
    start, _, _ = _target(body, 0)
    struct.pack_into("<H", body, start * WORD, number)
    return _framed(body)


def with_size(frame: bytes, *path: int, data: int, pointers: int) -> bytes:
    """The frame with the struct at `path` cut to so many words of data and pointers, as an earlier version has."""
    body = _body(frame)
    index = pointer_at(frame, *path)
    start, had, _ = _target(body, index)
    if data == had:
        struct.pack_into("<HH", body, index * WORD + 4, data, pointers)
        return _framed(body)
    # The pointers move up behind the data that is left.
    moved = len(body) // WORD
    body += body[start * WORD : (start + data) * WORD]
    for number in range(pointers):
        body += _moved_pointer(body, start + had + number, moved + data + number)
    struct.pack_into("<iHH", body, index * WORD, (moved - index - 1) << 2, data, pointers)
    return _framed(body)


def widened(frame: bytes, *path: int, content: bytes = b"tomorrow") -> bytes:
    """The frame with a word of data and a pointer more in the struct at `path`, as a later version has.

    The pointer leads to `content`, whose length is a multiple of 8.
    """
    body = _body(frame)
    index = pointer_at(frame, *path)
    start, data, pointers = _target(body, index)
    moved = len(body) // WORD
    body += body[start * WORD : (start + data) * WORD] + b"\xa5" * WORD
    for number in range(pointers):
        body += _moved_pointer(body, start + data + number, moved + data + 1 + number)
    # The new pointer: to a Data right behind it.
    body += struct.pack("<II", 1, (len(content) << 3) | 2) + content
    struct.pack_into("<iHH", body, index * WORD, (moved - index - 1) << 2, data + 1, pointers + 1)
    return _framed(body)


def _moved_pointer(body: bytearray, source: int, target: int) -> bytes:
    low, high = struct.unpack_from("<iI", body, source * WORD)
    if low == 0 and high == 0:
        return bytes(WORD)
    return struct.pack("<iI", (((low >> 2) + source - target) << 2) | (low & 3), high)


def in_segments(frame: bytes, count: int) -> bytes:
    """The same message in so many segments: the first has nothing but a far pointer, the second all, others nothing."""
    body = bytes(_body(frame))
    table = struct.pack("<III", count - 1, 1, len(body) // WORD) + bytes(4 * (count - 2))
    far = struct.pack("<II", 2, 1)
    return table + bytes(-len(table) % WORD) + far + body


def in_two_segments(frame: bytes) -> bytes:
    """The same message with nothing but a far pointer in its first segment."""
    return in_segments(frame, 2)


def misframed(frame: bytes) -> Iterator[tuple[str, bytes]]:
    """Frames that are not exactly one message, each with what it is, made of one that is."""
    yield "an empty frame", b""
    yield "a single byte", frame[:1]
    yield "a segment table that is cut off", frame[:7]
    yield "a frame cut off by one byte", frame[:-1]
    yield "a frame cut off by its last word", frame[:-WORD]
    yield "a frame cut off in the middle", frame[: len(frame) // 2 // WORD * WORD]
    yield "a message with a byte behind it", frame + b"\0"
    yield "a message with a word behind it", frame + bytes(WORD)
    yield "two messages in one frame", frame + frame
    body = frame[WORD:]
    table = struct.pack("<I", 512) + struct.pack("<I", len(body) // WORD) + bytes(4 * 512)
    yield "513 segments", table + bytes(-len(table) % WORD) + body
    yield "four thousand million segments", struct.pack("<II", 0xFFFFFFFF, len(body) // WORD) + body
    yield "a segment longer than the frame", struct.pack("<II", 0, 0x1FFFFFFF) + body


def misdirected(frame: bytes, *path: int) -> Iterator[tuple[str, bytes]]:
    """Frames with a pointer that leads nowhere, each with what it is. `path`: a pointer to Data."""
    root, member, data = 0, pointer_at(frame, 0), pointer_at(frame, *path)
    far_away = 0x1000000 << 2
    yield "a root that lies outside of the message", with_word(frame, root, far_away, (1 << 16) | 1)
    yield "a member that lies outside of the message", with_word(frame, member, far_away, (2 << 16) | 1)
    yield "a member that lies before the message", with_word(frame, member, -0x1000 << 2, (2 << 16) | 1)
    yield "a task id that lies outside of the message", with_word(frame, data, far_away | 1, (16 << 3) | 2)
    yield "a task id longer than the frame", with_word(frame, data, 1, (0x1FFFFFFF << 3) | 2)
    yield "a task id in a segment that is not there", with_word(frame, data, 2, 7)
    yield "a task id that is a struct", with_word(frame, data, 0, 1)
    yield "a member that is a list", with_word(frame, member, 1, (16 << 3) | 2)
