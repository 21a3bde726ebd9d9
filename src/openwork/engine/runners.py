"""What runs each convolution, and what was known when that was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

from openwork.engine.fallback import TorchConv
from openwork.runtime.layers import TORCH, Layer, Packs, find_candidate
from openwork.runtime.nodes import Conv

Runner = Layer | TorchConv
Runners = Mapping[Conv, Runner]
"""What runs each convolution: a packed layer, or torch."""


@dataclass(frozen=True)
class Choice:
    """What runs a layer.

    Attributes:
        name: of the candidate, or "torch".
        seconds: of one call when it was measured; None if the choice was given.
        torch_seconds: of torch's dense convolution in the same turns; None if it was given.
        spread: of the times that were measured; see `remembered.spread`.
        without_torch: the fastest candidate, where torch was faster still.
    """

    name: str
    seconds: float | None = None
    torch_seconds: float | None = None
    spread: float | None = None
    without_torch: str | None = None


def make_runner(conv: Conv, kernel: str, isa: str, packs: Packs | None = None) -> Runner | None:
    """`conv` packed for `kernel`, or a `TorchConv`.

    Args:
        conv: the layer, with its live weights.
        kernel: a candidate's name, or "torch".
        isa: instruction set.
        packs: what was packed of the layer at other sizes; taken, and added to.

    Returns:
        None if there is no such kernel for the layer and the instruction set.
    """
    if kernel == TORCH:
        return TorchConv(conv, packs)
    problem = conv.problem(packs)
    candidate = find_candidate(problem, kernel, isa)
    return None if candidate is None else candidate.build(problem)
