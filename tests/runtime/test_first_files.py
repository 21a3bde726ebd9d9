"""A file of the first version that saved compiled networks still gives its outputs."""

from pathlib import Path

import numpy as np
import torch

import openwork as ow
from openwork import runtime

# Written with AVX2 by commit 340c5bf: a batch norm, a sum, two sparse layers, a pool and a linear
# layer. Its metrics hold the outputs for the numbers below.
FILE = Path(__file__).parent / "files" / "first_format.safetensors"


def _images() -> torch.Tensor:
    return torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def test_it_loads_with_torch() -> None:
    wanted = ow.info(FILE).metrics["outputs"]
    found = ow.load(FILE)(_images())
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-5, atol=1e-6)


def test_it_loads_without_torch_and_packs(tmp_path: Path) -> None:
    runtime.pack(FILE, tmp_path / "packed", threads=1)
    for path in (FILE, tmp_path / "packed"):
        network = runtime.load(path, threads=1)
        found = network(_images().numpy())
        np.testing.assert_allclose(found, network.metrics["outputs"], rtol=1e-5, atol=1e-6)
