"""Run one problem on many candidates and compare each with the reference."""

from collections.abc import Iterable

import kernel_reference as reference
import numpy as np
import torch

from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import (
    FAMILIES,
    DirectTile,
    SpmmTile,
    WinogradTile,
    candidates,
)
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Problem


def with_small_chunks(problem: Problem, isa: str) -> list[Candidate]:
    """All in float32, short chunks, of which small cases have several, and what training adds."""
    every = [each for each in candidates(problem, isa, 1) if each.name.startswith("f32-")]
    able = {family.name for family in FAMILIES if family.refusal(problem) is None}
    if "f32-conv-direct" in able and problem.geometry.kernel == (3, 3):
        every.append(Candidate(f"f32-conv3x3s1-direct-maps-{isa}", DirectTile(isa, 0, 0)))
    for chunk in (1, 3):
        if chunk >= problem.geometry.in_channels:
            continue
        for group in (1, 2, 4):
            name = f"v2k{chunk}g{group}-{isa}"
            if "f32-conv-spmm" in able:
                tile = SpmmTile(isa, 2, chunk, group, False)
                every.append(Candidate(f"f32-conv-spmm-{name}", tile))
            for output in (2, 4):
                if f"f32-conv3x3-winograd{output}" in able:
                    tile = WinogradTile(isa, output, 2, chunk, group)
                    every.append(Candidate(f"f32-conv3x3-winograd{output}-{name}", tile))
    return every


def output_of(
    plan: Packed, x: np.ndarray, residual: np.ndarray | None, threads: int = 1
) -> np.ndarray:
    """The plan's output; everything it must write is NaN before, and its workspace too."""
    g = plan.problem.geometry
    out = torch.full((len(x), g.out_channels, *g.out_size), torch.nan)
    workspace = torch.full((plan.workspace(len(x), threads),), torch.nan)
    added = None if residual is None else torch.from_numpy(residual)
    plan.run(torch.from_numpy(x), out, workspace, added, threads)
    return out.numpy()


def check(
    problem: Problem,
    x: np.ndarray,
    residual: np.ndarray | None,
    chosen: Iterable[Candidate],
    threads: int = 1,
) -> int:
    """Compare each candidate with the reference; returns how many there were."""
    total, size = reference.convolve(problem, x)
    wanted = reference.finish(problem, total, residual)
    count = 0
    for candidate in chosen:
        found = output_of(Packed(problem, candidate), x, residual, threads)
        allowed = reference.tolerance(problem, x, size, residual, candidate.name)
        wrong = ~(np.abs(found - wanted) <= allowed)
        if wrong.any():
            at = tuple(int(axis[0]) for axis in np.nonzero(wrong))
            raise AssertionError(
                f"{candidate.name}: {int(wrong.sum())} of {wrong.size} outputs are off; first at "
                f"{at}: {found[at]!r} instead of {wanted[at]!r} within {allowed[at]:.3g}"
            )
        count += 1
    return count
