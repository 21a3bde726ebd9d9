"""A data set and a network so small that training takes no time, and processes of one's own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from openwork.data import DataSet, Split
from openwork.nn import Plan, sparsify_

SCRIPTS = Path(__file__).parent / "scripts"


def _split(count: int, seed: int) -> Split:
    """Images (N, 1, 8, 8) of noise, one quarter of them bright: the class."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, count)
    images = draw.integers(0, 100, (count, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 100
    return Split(images.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture
def toy() -> DataSet:
    """70 training images, so that batches of 16 leave a rest of 6."""
    return DataSet("toy", _split(70, 0), _split(30, 1), tuple("abcd"), (0.3,), (0.2,))


@pytest.fixture
def plan() -> Plan:
    return Plan({"*": {"pattern": "random", "density": 0.5}})


@pytest.fixture
def make(plan: Plan) -> Callable[..., nn.Sequential]:
    """`make()`: a sparse network for `toy`, the same each time.

    Its first layer has one input only, which every filter must read: that one stays dense.
    """

    def made(plan: Plan | None = plan, width: int = 8, dropout: float = 0.2) -> nn.Sequential:
        torch.manual_seed(5)
        model = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width * 16, 4),
        )
        return model if plan is None else sparsify_(model, plan)

    return made


@pytest.fixture(autouse=True)
def _same_random_state() -> Iterator[None]:
    """`fit` seeds torch; no test sees what another one left."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start(script, *arguments, processes=n)`: a script of this folder, under torchrun if n."""
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: object, processes: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable]
        if processes:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc_per_node={processes}"]
        command += [str(SCRIPTS / script), *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        # A session of its own, so that workers of torchrun can be ended with it.
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def finish(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """As `start`, but waits for the end, which must be a good one; what was printed comes back."""

    def run(script: str, *arguments: object, processes: int = 0) -> str:
        process = start(script, *arguments, processes=processes)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0, printed
        return printed

    return run
