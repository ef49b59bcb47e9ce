"""Builds the peers in other languages for tests, and says what to install where that cannot be done.

Without its toolchain a test is skipped; in CI (CI=true) it fails. Tests run in several processes: a build is done by
one of them, and only if something has changed since the last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

PEERS = Path(__file__).parents[1] / "peers"
CPP, TYPESCRIPT = PEERS / "cpp", PEERS / "typescript"
PRESET = "sanitize"
CPP_BUILD = CPP / "build" / PRESET
"""Ignored by git, and kept: a second run compiles what has changed."""
PACKAGES = {
    "cmake": "cmake",
    "capnp": "capnproto",
    "c++": "g++",
    "pkg-config": "pkg-config",
}
"""Programs that the C++ peer needs, with Debian's package of each."""
LIBRARIES = {"capnp": "libcapnp-dev", "libzmq": "libzmq3-dev", "nlohmann_json": "nlohmann-json3-dev"}
"""Libraries that it needs, as pkg-config names them."""
OLDEST_NODE = 20
UNREACHABLE = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT")
BUILD_SECONDS = 600


def cannot(reason: str) -> NoReturn:
    """What the tests need is not here."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    command: Sequence[str], directory: Path, seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a peer's directory."""
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def built_cpp() -> Path:
    """The directory with the programs of the C++ peer, with sanitizers."""
    missing = _missing_packages()
    if missing:
        cannot(f"the C++ peer cannot be built: apt-get install {' '.join(missing)}")
    with _alone(CPP):
        # Configured once: CMake 3.25 reads the flags of pkg-config otherwise from its cache than from pkg-config, and
        # would compile all again, under the feet of the process that has built it and runs it now.
        configured, presets = CPP_BUILD / ".rescind-configured", _digest([CPP / "CMakePresets.json"])
        if _noted(configured) != presets:
            _make("cmake", "--preset", PRESET)
            configured.write_text(presets)
        _make("cmake", "--build", "--preset", PRESET, "--parallel", "2")
    return CPP_BUILD


def _make(*command: str) -> None:
    done = run(command, CPP, BUILD_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


def built_typescript() -> Path:
    """The directory into which the TypeScript peer is compiled."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        cannot("the TypeScript peer needs Node.js and npm (Debian: nodejs, npm)")
    version = run(["node", "--version"], TYPESCRIPT, BUILD_SECONDS).stdout.strip()
    if (found := re.match(r"v(\d+)", version)) is None or int(found[1]) < OLDEST_NODE:
        cannot(f"the TypeScript peer needs Node.js {OLDEST_NODE}; this is {version}")
    build = TYPESCRIPT / "build"
    with _alone(TYPESCRIPT):
        _install()
        folders = [one for one in TYPESCRIPT.iterdir() if one.is_dir() and one.name not in ("node_modules", "build")]
        sources = sorted(file for folder in folders for file in folder.rglob("*.ts"))
        compiled = _digest([*sources, TYPESCRIPT / "tsconfig.json", TYPESCRIPT / "package-lock.json"])
        if _noted(build / ".rescind-compiled") != compiled:
            building = run(["npm", "run", "--silent", "build"], TYPESCRIPT, BUILD_SECONDS)
            assert building.returncode == 0, building.stdout
            (build / ".rescind-compiled").write_text(compiled)
    return build


def _install() -> None:
    """What the lock file names is in node_modules; nothing is done where it is already."""
    locked, installed = _digest([TYPESCRIPT / "package-lock.json"]), TYPESCRIPT / "node_modules" / ".rescind-installed"
    if _noted(installed) == locked:
        return
    installing = run(["npm", "ci", "--no-audit", "--no-fund"], TYPESCRIPT, BUILD_SECONDS)
    if UNREACHABLE.search(installing.stderr):
        cannot(f"the registry of npm cannot be reached: {installing.stderr.strip()[:500]}")
    assert installing.returncode == 0, installing.stderr
    installed.write_text(locked)


def _missing_packages() -> list[str]:
    """What has to be installed before the C++ peer can be built."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if "pkg-config" in missing:
        return [*missing, *LIBRARIES.values()]  # it cannot be asked what is there
    return missing + [
        package
        for library, package in LIBRARIES.items()
        if subprocess.run(["pkg-config", "--exists", library], check=False).returncode != 0
    ]


@contextmanager
def _alone(peer: Path) -> Iterator[None]:
    """No other process builds this peer meanwhile."""
    (peer / "build").mkdir(exist_ok=True)
    with (peer / "build" / ".rescind-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _noted(file: Path) -> str:
    return file.read_text() if file.exists() else ""
