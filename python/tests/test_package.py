"""What is installed works without the checkout, and README.md says what is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the wheel, built from the checkout, is installed."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run([*pip, *build], check=True, timeout=120)
    (wheel,) = wheels.glob("rescind-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=120)
    return target


def run_installed(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_brings_the_schemas_vectors_cases_and_the_specification(installed: Path, tmp_path: Path) -> None:
    code = (
        "import rescind, rescind_conformance.requirements as r; from rescind import wire;"
        "print(rescind.__file__, wire.schema_directory(), len(r.load_requirements()),"
        "len(list((wire.schema_directory() / 'vectors').rglob('*.bin'))))"
    )
    done = run_installed(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    package, schemas, requirements, vectors = done.stdout.split()
    assert package.startswith(str(installed))
    assert schemas.startswith(str(installed))
    assert int(requirements) > 80
    assert int(vectors) == len(list((ROOT / "protocol" / "vectors").rglob("*.bin"))) > 30


def test_the_installed_command_tests_the_installed_reference(installed: Path, tmp_path: Path) -> None:
    suite = ["-m", "rescind", "conformance", "scheduler", "--subject", "reference", "--case", "crossing.*"]
    done = run_installed(installed, tmp_path, *suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass" in done.stdout


def test_the_wheel_brings_what_authors_of_adapters_read(installed: Path) -> None:
    for name in (
        *("ADAPTER.md", "IMPLEMENTING.md", "REPORTS.md", "RACES.md"),
        *("adapters/template.py", "adapter.schema.json"),
    ):
        assert (installed / "rescind_conformance" / name).is_file(), name


def test_the_readme_gives_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .+$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["rescind.cli", "rescind_conformance.cli"])
def test_ctrl_c_while_the_command_is_imported_gives_no_traceback(module: str) -> None:
    """An import hook stands for the moment at which Ctrl-C comes."""
    code = f"""
import runpy, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
runpy.run_module("rescind", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")
