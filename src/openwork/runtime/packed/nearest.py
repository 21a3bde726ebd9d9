"""The kernel of another machine that is most like a named one: it cannot be measured here."""

from openwork.errors import CheckpointError
from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import candidates
from openwork.kernels.problem import Problem
from openwork.kernels.similar import similar_candidate

# Algorithms in the order in which they are tried where the named one cannot run.
_ORDER = ("depthwise", "dense", "gemv", "winograd4", "spmm", "winograd2", "direct", "taps")


def nearest_candidate(problem: Problem, kernel: str, isa: str) -> Candidate:
    """The candidate for `isa` of the same family and the most similar tile, or else of another.

    Args:
        problem: the layer.
        kernel: a candidate's name, of any instruction set, or "torch".
        isa: instruction set.

    Raises:
        CheckpointError: no kernel can run the layer.
    """
    # No machine that files are packed for elsewhere has the instructions of bfloat16.
    kernel = kernel.replace("bf16-", "f32-", 1)
    similar = similar_candidate(problem, kernel, isa)
    if similar is not None:
        return similar
    able = [each for each in candidates(problem, isa) if each.name.startswith("f32-")]
    by_algorithm = {each.name.split("-")[2]: each for each in able}
    if not by_algorithm:
        raise CheckpointError(f"no kernel of {isa!r} can run a layer of {problem.geometry}")
    return next(by_algorithm[name] for name in _ORDER if name in by_algorithm)
