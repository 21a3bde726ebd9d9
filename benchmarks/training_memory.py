"""Peak memory of a training step: dense torch against sparse layers on their kernels.

    python benchmarks/training_memory.py [--models vgg16-cifar] [--densities 0.25,0.1]
        [--threads 1] [--heap] [--out FILE.json]

Networks and patterns are those of training_step.py, with Adam. Each runs in a new process, which
resets the operating system's high-water mark of resident memory (VmHWM, Linux only) after the
imports, and again after two steps: "first" is the peak of the steps that choose kernels, "peak"
that of three steps after them. Both are beyond what the imports take. "tensors" are weights,
gradients, Adam's state and indices; "due" is what dense ones take more than sparse ones, and
"saved" what peaks differ by.

glibc gives freed blocks of up to 32 MB back to the system late, and fits new ones badly into the
gaps: peaks of a step then differ by 80 MB between steps, and the gaps of a sparse network were up
to 60 MB larger. Blocks from 256 KB come from the system each time here, and return to it; with
`--heap` the C library does as it likes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from memory import resident


@dataclass
class Row:
    """Megabytes of one network."""

    model: str
    density: float
    threads: int
    tensors: float
    first: float
    peak: float


def measure(name: str, density: float, threads: int) -> Row:
    """One network in this process."""
    import torch
    import training_step

    import openwork as ow

    torch.set_num_threads(threads)
    imported = resident("VmRSS")
    step = training_step.Step(name, 64, density, fused=False)
    peaks: list[float] = []
    for count in (2, 3):
        Path("/proc/self/clear_refs").write_text("5")
        for _ in range(count):
            step.run()
        peaks.append(resident("VmHWM") - imported)
    tensors = ow.nn.memory_use(step.model, step.optimizer).training / 1e6
    return Row(name, density, threads, tensors, *peaks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="vgg16-cifar")
    parser.add_argument("--densities", default="0.25,0.1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--heap", action="store_true", help="leave the C library's heap as it is")
    # Used by the processes that this one starts.
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    densities = [float(text) for text in options.densities.split(",")]
    if options.measure:
        print(json.dumps(asdict(measure(options.models, densities[0], options.threads))))
        return
    rows: list[Row] = []
    print("| MB beyond imports | density | tensors | first | peak | saved | due |")
    print("|---|---|---|---|---|---|---|")
    for name in options.models.split(","):
        found = [_measured(name, each, options) for each in (1.0, *densities)]
        dense = found[0]
        for row in found:
            rows.append(row)
            saved, due = dense.peak - row.peak, dense.tensors - row.tensors
            print(
                f"| {name} | {row.density} | {row.tensors:.0f} | {row.first:.0f} | {row.peak:.0f} "
                f"| {saved:.0f} | {due:.0f} |",
                flush=True,
            )
    # Imported here, so that the process that starts the others stays small.
    from record import keep_rows

    keep_rows(options.out, rows)


def _measured(name: str, density: float, options: argparse.Namespace) -> Row:
    """The same in a new process, which has chosen no kernels yet."""
    arguments = f"--measure --models {name} --densities {density} --threads {options.threads}"
    heap = (
        {} if options.heap else {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_MMAP_MAX_": "100000"}
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, *arguments.split()],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **heap, "OPENWORK_CACHE": folder},
        )
    return Row(**json.loads(done.stdout))


if __name__ == "__main__":
    main()
