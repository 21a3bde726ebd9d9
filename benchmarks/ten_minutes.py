"""From nothing to a network several times as fast: the page docs/ten-minutes.ipynb, timed.

    python benchmarks/ten_minutes.py [--wheel FILE] [--record]

Makes an empty environment, installs the wheel (one is built if none is given) with the extras
`torch` and `onnx`, and runs the cells of the page in order, each timed. Prints what a user types
and waits for, and the speed-up that the page finds over the dense network in ONNX Runtime on one
thread. `--record` writes ten-minutes.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ten-minutes.ipynb"
# Runs in the new environment, where only what a user has is installed.
FOLLOW = """
import json, sys, time
import matplotlib
matplotlib.use("agg")
names, seconds = {}, []
for cell in json.load(open(sys.argv[1])):
    began = time.perf_counter()
    exec(compile(cell, "page", "exec"), names)
    seconds.append(time.perf_counter() - began)
networks = {name: latency.median for name, latency in names["timed"].networks.items()}
print(json.dumps({"cells": seconds, "networks": networks}))
"""


def cells() -> list[str]:
    """The code of the page, cell by cell."""
    page = json.loads(PAGE.read_text())
    return ["".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "code"]


def follow(wheel: Path | None, folder: Path) -> dict:
    """Seconds of each step, seconds of each cell, and the times of the networks of the page."""
    steps: dict[str, float] = {}

    def run(name: str, *command: str, cwd: Path = folder) -> str:
        began = time.perf_counter()
        # Bytecode is written as on a user's machine.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        ran = subprocess.run(
            command, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        steps[name] = time.perf_counter() - began
        return ran.stdout

    pip = ("-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"))
    if wheel is None:
        build = (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
        )
        run("a wheel is built", *build, "--wheel-dir", str(folder), str(ROOT))
        wheel = next(folder.glob("*.whl"))
    python = str(folder / "venv" / "bin" / "python")
    run("python -m venv venv", sys.executable, "-m", "venv", "venv")
    run("pip install openwork[torch,onnx]", python, *pip, f"{wheel.resolve()}[torch,onnx]")
    (folder / "cells.json").write_text(json.dumps(cells()))
    printed = run("the page's code", python, "-c", FOLLOW, "cells.json")
    return {"steps": steps, **json.loads(printed.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheel", type=Path, help="install this one")
    parser.add_argument("--record", action="store_true", help="write ten-minutes.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = follow(options.wheel, Path(folder))
    steps = found["steps"]
    # What a user does not wait for.
    waited = {name: seconds for name, seconds in steps.items() if name != "a wheel is built"}
    for name, seconds in steps.items():
        print(f"{seconds:7.1f} s  {name}")
    print(
        f"{sum(waited.values()):7.1f} s  for 2 commands and {len(found['cells'])} cells of a page"
    )
    dense = found["networks"]["dense, ONNX Runtime"]
    for name, seconds in found["networks"].items():
        print(
            f"{1e3 * seconds:7.2f} ms  {name}: {dense / seconds:.2f} times as fast as ONNX Runtime"
        )
    if options.record:
        from record import machine

        row = {"machine": machine(), **found}
        Path(__file__).with_name("ten-minutes.json").write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
