"""The C library that `make c` and `make aarch64` build, and runs of its example."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
QEMU = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")


def native(name: str) -> Path:
    """A file that `make c` builds; without it the test is left out."""
    return _built("c", name)


def aarch64(name: str) -> list[str]:
    """The command that runs a program that `make aarch64` builds."""
    if shutil.which(QEMU[0]) is None:
        pytest.skip("qemu-user is not installed")
    return [*QEMU, str(_built("aarch64", name))]


def _built(folder: str, name: str) -> Path:
    path = ROOT / "build" / folder / name
    if not path.exists():
        pytest.skip(f"`make {folder}` has not built {name}")
    return path


def run(command: Sequence[str], lines: Sequence[str] = ()) -> str:
    """What `command` writes, given `lines` as its standard input; it must not fail."""
    ran = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
