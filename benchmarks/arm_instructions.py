"""Instructions that NEON kernels execute per useful multiply-add, counted under emulation.

    make aarch64-build; python benchmarks/arm_instructions.py [--record]

For each layer and each algorithm that is worth measuring there, a packed file is run with batch 1
and one thread by `qemu-aarch64` with the plugin arm/count.c; three runs less one are two runs
without what comes before and after. The largest tiles run; the one with the fewest instructions is
shown, and how many of these multiply and add four floats (fmla). A useful multiply-add is one of a
live weight: a kernel that filled all four lanes with them and did nothing else would need 0.25
instructions. Emulation counts, it does not time: a count says nothing of caches, nor of how many
instructions begin in a cycle. Needs g++-aarch64-linux-gnu and qemu-user 7 or 8.
`--record` writes arm_instructions.json.
"""

import argparse
import json
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from openwork._files import write_text
from openwork.kernels.dispatch import Candidate, worth_measuring
from openwork.kernels.problem import Geometry, Problem
from openwork.runtime.packed.layout import PackedFile
from openwork.runtime.packed.recording import Recording

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / "build" / "aarch64"
ROOT = "/usr/aarch64-linux-gnu"
_3X3 = Geometry(64, 64, (32, 32), (3, 3), padding=(1, 1))
# (name, geometry, groups, share of the kernels that lives)
LAYERS = [
    ("3x3 64->64@32", _3X3, 1, 1.0),
    ("3x3 64->64@32", _3X3, 1, 0.25),
    ("3x3 64->64@32", _3X3, 1, 0.1),
    ("1x1 256->64@16", Geometry(256, 64, (16, 16), (1, 1)), 1, 1.0),
    ("1x1 256->64@16", Geometry(256, 64, (16, 16), (1, 1)), 1, 0.25),
    ("depthwise 3x3 64@32", _3X3, 64, 1.0),
    ("linear 512->512", Geometry(512, 512, (1, 1), (1, 1)), 1, 1.0),
    ("linear 512->512", Geometry(512, 512, (1, 1), (1, 1)), 1, 0.25),
]


@dataclass
class Row:
    """The best tile of one algorithm on one layer; counts are of one run with one image."""

    layer: str
    density: float
    kernel: str
    multiply_adds: int
    instructions: int
    fmla: int

    @property
    def each(self) -> float:
        """Instructions per useful multiply-add."""
        return self.instructions / self.multiply_adds


def problem_of(geometry: Geometry, groups: int, density: float) -> Problem:
    """A layer whose live kernels are drawn at random."""
    random = np.random.default_rng(0)
    taps = geometry.kernel[0] * geometry.kernel[1]
    kernels = geometry.out_channels * geometry.in_channels // groups
    live = np.zeros(kernels, bool)
    live[random.permutation(kernels)[: round(density * kernels)]] = True
    positions = np.flatnonzero(np.repeat(live, taps))
    weight = random.standard_normal(positions.size).astype(np.float32)
    return Problem(geometry, groups, positions, weight)


def packed(problem: Problem, layer: object) -> bytes:
    """The file of a network of one layer."""
    g = problem.geometry
    shapes = (g.in_channels, *g.size), (g.out_channels, *g.out_size)
    recording = Recording("neon")
    slots = [recording.input(int(np.prod(shapes[0]))), recording.output(int(np.prod(shapes[1])))]
    recording.layer(layer, *slots)  # type: ignore[arg-type]
    tensors = [("x", shapes[0])], [("y", shapes[1])]
    file = PackedFile("neon", *tensors, (1, 64), recording.made_slots, recording.made_steps, "{}")
    return file.to_bytes().tobytes()


class Counter:
    """Counts what runs of a packed file execute, with programs that it builds in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        arm, own = HERE / "arm", ["-O2", "-Wall", "-Wextra"]
        plugin = ["-shared", "-fPIC", "-o", folder / "count.so", arm / "count.c"]
        subprocess.run(["cc", *own, *plugin], check=True)
        library = [f"-I{HERE.parent / 'csrc' / 'capi'}", f"-L{BUILT}", "-lopenwork"]
        program = ["-o", folder / "again", arm / "again.c", *library, f"-Wl,-rpath,{BUILT}"]
        subprocess.run(["aarch64-linux-gnu-gcc", *own, *program], check=True)

    def run(self, file: bytes) -> tuple[int, int]:
        """Instructions, and those of them that multiply and add, of one run with one image."""
        (self._folder / "x.ow").write_bytes(file)
        one, three = (self._count(times) for times in (1, 3))
        return (three[0] - one[0]) // 2, (three[1] - one[1]) // 2

    def _count(self, times: int) -> tuple[int, int]:
        emulator = ["qemu-aarch64", "-L", ROOT, "-plugin", self._folder / "count.so"]
        program = [self._folder / "again", self._folder / "x.ow", "1", str(times)]
        told = self._folder / "counts"
        subprocess.run([*emulator, *program], check=True, env=os.environ | {"COUNT_TO": str(told)})
        instructions, fmla = map(int, told.read_text().split())
        return instructions, fmla


def largest(family: Sequence[Candidate]) -> list[Candidate]:
    """The tile of each number of filters that holds most in registers; three at most."""
    found: dict[str, tuple[int, Candidate]] = {}
    for each in family:
        tile = each.name.split("-")[3]
        group = "".join(re.findall(r"g\d+", tile)) or tile
        # The chunk (k) lies in memory.
        size = math.prod(map(int, re.findall(r"(?<![k\d])\d+", tile)))
        found[group] = max(found.get(group, (0, each)), (size, each), key=lambda pair: pair[0])
    return [each for _, each in sorted(found.values(), key=lambda pair: pair[0])[-3:]]


def measure(counter: Counter) -> list[Row]:
    """The rows of all layers, printed as they come."""
    rows = []
    for name, geometry, groups, density in LAYERS:
        problem = problem_of(geometry, groups, density)
        useful = problem.positions.size * int(np.prod(geometry.out_size))
        for family in worth_measuring(problem, "neon", 1).values():
            tiles = []
            for candidate in largest(family):
                counts = counter.run(packed(problem, candidate.build(problem)))
                tiles.append(Row(name, density, candidate.name, useful, *counts))
            if tiles:
                rows.append(min(tiles, key=lambda row: row.instructions))
                best = rows[-1]
                print(
                    f"{name:20} {density:5} {best.kernel:40} {best.each:6.3f} instructions, "
                    f"{best.fmla / useful:.3f} fmla",
                    flush=True,
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write arm_instructions.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Counter(Path(folder)))
    if options.record:
        asked = ["qemu-aarch64", "--version"], ["aarch64-linux-gnu-gcc", "--version"]
        tools = [subprocess.run(each, capture_output=True, text=True).stdout for each in asked]
        record = {
            "machine": [tool.splitlines()[0] for tool in tools],
            "rows": [asdict(row) for row in rows],
        }
        path = HERE / "arm_instructions.json"
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
