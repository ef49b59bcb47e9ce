"""Keys for CURVE, ZeroMQ's encryption: where they are kept, and how a connection is told to use them.

`rescind keys DIRECTORY` makes one directory for each party, which is all that it needs:

    DIRECTORY/scheduler/        scheduler.key_secret, scheduler.key, clients/NAME.key, workers/NAME.key
    DIRECTORY/clients/NAME/     client.key_secret, scheduler.key
    DIRECTORY/workers/NAME/     worker.key_secret, scheduler.key

Files are certificates as pyzmq's `zmq.auth` and CZMQ write them; `*.key` has the public key alone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEY_LINE = re.compile(r"""^\s*(public|secret)-key\s*=\s*["']?([^"'\s]+)""", re.MULTILINE)
_SECRET, _PUBLIC = ".key_secret", ".key"
_SCHEDULER = "scheduler"
_FOR_OTHERS = 0o007
_MISMATCH = zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
HANDSHAKE_FAILURES = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
"""Events of a socket's monitor that `Handshakes.on_event` wants to see."""
_TRIES = 3
"""Handshakes in a row that end without a word before the keys are blamed: a scheduler may end during one."""


class KeysUnusable(ValueError):
    """Keys cannot be read, or not be made; the text names the file, the cause and the remedy."""


class HandshakeRefused(ConnectionError):
    """The other side cannot be spoken to with these keys, or without any; the text says what to do."""


class Role(Enum):
    """What a key's holder may be to a scheduler."""

    CLIENT = "client"
    WORKER = "worker"

    @property
    def folder(self) -> str:
        """The directory that has the keys of this role."""
        return f"{self.value}s"


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """What a client or a worker speaks to its scheduler with; each key is 40 bytes of Z85."""

    public: bytes
    secret: bytes = field(repr=False)
    scheduler: bytes
    """The public key of the scheduler: nobody else can answer."""

    def apply(self, socket: zmq.Socket[Any]) -> None:
        """Have `socket` use them; to be called before it connects."""
        socket.curve_publickey = self.public
        socket.curve_secretkey = self.secret
        socket.curve_serverkey = self.scheduler


@dataclass(frozen=True, slots=True)
class Authorised:
    """The holder of an authorised key."""

    name: str
    """Its roles and names, for logs: `client alice`."""
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class SchedulerKeys:
    """A scheduler's own keys, and the directory of those that it admits."""

    directory: Path
    public: bytes
    secret: bytes = field(repr=False)

    def authorised(self) -> dict[bytes, Authorised]:
        """Who is admitted, by public key (Z85). Raises `KeysUnusable`."""
        found: dict[bytes, Authorised] = {}
        for role in Role:
            for file in sorted((self.directory / role.folder).glob(f"*{_PUBLIC}")):
                key, former = _read_public(file), None
                former = found.get(key)
                name = f"{role.value} {file.stem}"
                found[key] = (
                    Authorised(name, frozenset({role}))
                    if former is None
                    else Authorised(f"{former.name}, {name}", former.roles | {role})
                )
        return found

    def changed_at(self) -> tuple[int, ...]:
        """When keys were last added or removed, in nanoseconds since the epoch."""
        return tuple(_modified(self.directory / role.folder) for role in Role)


def read_scheduler_keys(directory: Path | str) -> SchedulerKeys:
    """The keys in the directory that `rescind keys` made for the scheduler. Raises `KeysUnusable`."""
    directory = Path(directory).absolute()
    public, secret = _read_secret(_file_in(directory, _SCHEDULER + _SECRET, "a scheduler"))
    keys = SchedulerKeys(directory, public, secret)
    keys.authorised()
    return keys


def read_peer_keys(directory: Path | str, role: Role) -> PeerKeys:
    """The keys in the directory that `rescind keys` made for a client or a worker. Raises `KeysUnusable`."""
    directory = Path(directory)
    public, secret = _read_secret(_file_in(directory, role.value + _SECRET, f"a {role.value}"))
    return PeerKeys(public, secret, _read_public(_file_in(directory, _SCHEDULER + _PUBLIC, f"a {role.value}")))


def make_keys(directory: Path, peers: Iterable[tuple[Role, str]]) -> list[Path]:
    """Make keys for the scheduler, unless there are some, and for each of `peers`; the directories that were made.

    Nothing is ever overwritten, and nothing is made if something cannot be. Only the account that runs this can
    read what it makes, public keys apart. Raises `KeysUnusable`.
    """
    peers = list(dict.fromkeys(peers))
    home = directory / _SCHEDULER
    for role, name in peers:
        if not _NAME.fullmatch(name):
            raise KeysUnusable(f"{name!r} is no name for keys: give letters, digits, and . _ - after the first")
        for taken in (directory / role.folder / name, home / role.folder / (name + _PUBLIC)):
            if os.path.lexists(taken):
                raise KeysUnusable(
                    f"{taken} is there already, and nothing was made. Choose another name; to replace the keys of "
                    f"{name}, remove {directory / role.folder / name} and {home / role.folder / (name + _PUBLIC)} first"
                )
    try:
        return list(_make(directory, home, peers))
    except OSError as error:
        raise KeysUnusable(f"keys cannot be made: {error.filename}: {error.strerror}") from error


def _make(directory: Path, home: Path, peers: list[tuple[Role, str]]) -> Iterator[Path]:
    for folder in (directory, home, *(home / role.folder for role in Role)):
        folder.mkdir(0o700, parents=folder is directory, exist_ok=True)
    if not (home / (_SCHEDULER + _SECRET)).exists():
        _write_pair(home / (_SCHEDULER + _SECRET), home / (_SCHEDULER + _PUBLIC))
        yield home
    scheduler, _ = _read_secret(home / (_SCHEDULER + _SECRET))
    for role, name in peers:
        own = directory / role.folder / name
        own.parent.mkdir(0o700, exist_ok=True)
        own.mkdir(0o700)
        _write_public(own / (_SCHEDULER + _PUBLIC), scheduler)
        _write_pair(own / (role.value + _SECRET), home / role.folder / (name + _PUBLIC))
        yield own


def _write_pair(secret_file: Path, public_file: Path) -> None:
    public, secret = zmq.curve_keypair()
    text = (
        "# The SECRET key of one party. Do not copy it to anybody else.\n"
        f'metadata\ncurve\n    public-key = "{public.decode()}"\n    secret-key = "{secret.decode()}"\n'
    )
    _write(secret_file, text, 0o600)
    _write_public(public_file, public)


def _write_public(file: Path, public: bytes) -> None:
    _write(file, f'# A public key.\nmetadata\ncurve\n    public-key = "{public.decode()}"\n', 0o644)


def _write(file: Path, text: str, mode: int) -> None:
    # Never over a file, nor through a link that somebody has put there; and with its mode from the first moment on.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)


def _file_in(directory: Path, name: str, whose: str) -> Path:
    file = directory / name
    if not file.is_file():
        there = ", ".join(sorted(each.name for each in directory.glob("*.key*"))) or "no key"
        raise KeysUnusable(
            f"{directory} has no {name}, which {whose} needs, but {there}: give the directory that "
            f"`rescind keys` made for {whose}"
        )
    return file


def _read_secret(file: Path) -> tuple[bytes, bytes]:
    public, secret = _read(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & _FOR_OTHERS:
        raise KeysUnusable(
            f"{file} is a secret, and its mode {mode:o} lets every account of this machine have it: "
            f"chmod 600 {file}, and make new keys if there are accounts that you do not trust"
        )
    if secret is None or zmq.curve_public(secret) != public:
        raise KeysUnusable(
            f"{file} has no secret key that belongs to its public key: make new keys with `rescind keys`"
        )
    return public, secret


def _read_public(file: Path) -> bytes:
    return _read(file)[0]


def _read(file: Path) -> tuple[bytes, bytes | None]:
    # Not by `zmq.auth`, which imports asyncio: that would double the time in which a worker starts.
    try:
        found = dict(_KEY_LINE.findall(file.read_text(encoding="utf-8")))
        public, secret = found["public"].encode("ascii"), found.get("secret", "").encode("ascii") or None
        for key in (public, secret):
            if key is not None and (len(key) != 40 or len(z85.decode(key)) != 32):
                raise ValueError(f"a key has 40 characters of Z85, not {len(key)}")
    except (OSError, ValueError, KeyError) as error:
        what = "it has no public key" if isinstance(error, KeyError) else error
        raise KeysUnusable(f"{file} is no file of keys ({what}): make one with `rescind keys`") from error
    return public, secret


def _modified(directory: Path) -> int:
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


class Handshakes:
    """Understands why a connection does not come about, from what the monitor of its socket says."""

    def __init__(self, keys: PeerKeys | None, role: Role) -> None:
        """`keys`: those that the connection uses."""
        self._keys = keys
        self._role = role
        self._silent = 0

    def on_event(self, event: int, value: int) -> str | None:
        """Why it is of no use to go on, if it is not. After some of these ZeroMQ itself does not try again."""
        match event:
            case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._silent = 0
            case zmq.EVENT_HANDSHAKE_FAILED_AUTH if self._keys is not None:
                return (
                    f"it refuses the key {self._keys.public.decode()}: have its public key put into "
                    f"{self._role.folder}/ of the scheduler's directory of keys"
                )
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL if value == _MISMATCH and self._keys is None:
                return (
                    "it speaks to nobody without keys (CURVE): give the directory that `rescind keys` made for this "
                    f"{self._role.value}, {'curve=...' if self._role is Role.CLIENT else '--curve'}"
                )
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL if value == _MISMATCH:
                return "it does not use keys (CURVE), and this side does: start it with `rescind scheduler --curve`"
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL if self._keys is not None:
                self._silent += 1
                if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL or self._silent >= _TRIES:
                    return (
                        f"it ends each handshake: is {self._keys.scheduler.decode()}, in scheduler.key, "
                        "the public key of this very scheduler, and does it use keys (--curve)?"
                    )
        return None
