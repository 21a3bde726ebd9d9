"""What the README shows is what runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openwork.cli.app import app
from openwork.kernels.native import reason_missing

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.skipif(reason_missing is not None, reason="compiling needs the compiled kernels")
def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = _blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sparse.safetensors").exists()


def test_every_command_shown_exists() -> None:
    shown = {
        line.split()[1]
        for block in _blocks("sh")
        for line in block.splitlines()
        if line.startswith("openwork ")
    }
    assert {"train", "eval", "env"} <= shown
    for command in shown:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_the_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", "\n".join(_blocks("sh")), flags=re.MULTILINE))
    assert targets == {"demo", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)
