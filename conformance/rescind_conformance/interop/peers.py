"""The programs of the peers in other languages (conformance/peers), once they are built."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rescind.messages import ObjectStorageAddress
from rescind_conformance.interop.mixes import Kind

_SOURCES: Final = Path(__file__).parents[2] / "peers"
NAMES: Final[Mapping[Kind, str]] = {Kind.CPP: "C++", Kind.TYPESCRIPT: "TypeScript"}
_BUILDS: Final[Mapping[Kind, str]] = {
    Kind.CPP: "cd conformance/peers/cpp && cmake --preset release && cmake --build --preset release -j2",
    Kind.TYPESCRIPT: "cd conformance/peers/typescript && npm ci && npm run build",
}
_LAST_BUILT: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.CPP: ("cpp-scheduler", "cpp-interop-worker", "cpp-client-adapter"),
    Kind.TYPESCRIPT: ("src/scheduler_main.js", "src/worker_main.js", "adapter/client.js", "interop/functions.js"),
}
"""The programs that take part."""


def built_cpp() -> Path:
    """The directory of the C++ peer's programs in this checkout: those with sanitizers, if no others are built."""
    release, sanitize = _SOURCES / "cpp" / "build" / "release", _SOURCES / "cpp" / "build" / "sanitize"
    return sanitize if sanitize.is_dir() and not release.is_dir() else release


@dataclass(frozen=True)
class PeerPrograms:
    """Where they are, and how they are started."""

    cpp: Path
    """The directory with the C++ programs."""
    typescript: Path
    """The directory into which the TypeScript peer is compiled."""

    def missing(self, kind: Kind) -> str:
        """Why this kind cannot take part, and the remedy; "" if it can."""
        if kind not in NAMES:
            return ""
        if kind is Kind.TYPESCRIPT and shutil.which("node") is None:
            return f"not built: the {NAMES[kind]} peer needs Node.js 20 or later (Debian: nodejs, npm)"
        place = self.cpp if kind is Kind.CPP else self.typescript
        if all((place / one).is_file() for one in _LAST_BUILT[kind]):
            return ""
        if not _SOURCES.is_dir():
            return (
                f"not built: the {NAMES[kind]} peer comes with a checkout of this project; there run: {_BUILDS[kind]}"
            )
        return f"not built: the {NAMES[kind]} peer ({place}); run: {_BUILDS[kind]}"

    def scheduler(self, kind: Kind, storage: ObjectStorageAddress, worker_timeout: float) -> list[str]:
        """The command of a scheduler that tells clients and workers that payloads are there."""
        if kind is Kind.CPP:
            place = ["--storage", storage.scheme, storage.host, str(storage.port)]
            command = [str(self.cpp / "cpp-scheduler"), "tcp://127.0.0.1:0", "--accept-shutdown", "true", *place]
        else:
            url = f"{storage.scheme}://{storage.host}:{storage.port}"
            place = ["--folder", storage.host] if storage.scheme == "file" else ["--storage", url]
            main = str(self.typescript / "src" / "scheduler_main.js")
            command = ["node", main, "--endpoint", "tcp://127.0.0.1:*", "--accept-shutdown", "true", *place]
        return [*command, "--worker-timeout", str(worker_timeout)]

    def worker(self, kind: Kind, endpoint: str, processes: int, folder: Path | None) -> list[str]:
        """The command of a worker that has the scenarios' functions. `folder`: where payloads are, whatever is said."""
        if kind is Kind.CPP:
            place = [] if folder is None else ["--storage", str(folder)]
            return [str(self.cpp / "cpp-interop-worker"), endpoint, "--processes", str(processes), *place]
        place = [] if folder is None else ["--folder", str(folder)]
        functions = ["--functions", str(self.typescript / "interop" / "functions.js")]
        main = str(self.typescript / "src" / "worker_main.js")
        return ["node", main, "--endpoint", endpoint, "--processes", str(processes), *functions, *place]

    def client_adapter(self, kind: Kind) -> list[str]:
        """The command of the adapter that holds a client (ADAPTER.md)."""
        if kind is Kind.CPP:
            return [str(self.cpp / "cpp-client-adapter")]
        return ["node", str(self.typescript / "adapter" / "client.js")]


def built_peers(cpp: Path | None = None, typescript: Path | None = None) -> PeerPrograms:
    """The programs in these directories, or where a build in this checkout leaves them."""
    return PeerPrograms(cpp or built_cpp(), typescript or _SOURCES / "typescript" / "build")
