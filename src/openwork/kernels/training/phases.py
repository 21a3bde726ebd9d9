"""A strided layer's input gradient: convolutions of each phase, put together."""

from collections.abc import Sequence

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry


class PackedPhases:
    """Packed convolutions whose results alternate by row and column.

    Args:
        phases: kernel, top and left of each phase (live_taps.py); None where nothing is live.
        geometries: sizes of the phases' convolutions; None where nothing is live.
        stride: of the phases, (vertical, horizontal).
        isa: instruction set.
    """

    def __init__(
        self,
        phases: "list[tuple[_C.Trainable | None, int, int]]",
        geometries: Sequence[Geometry | None],
        stride: tuple[int, int],
        isa: str,
    ) -> None:
        self._phases = phases
        self._geometries = geometries
        self._stride = stride
        self._isa = isa

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""
        own = [layer.workspace(batch, threads) for layer, _, _ in self._phases if layer is not None]
        return max(own, default=0) + sum(self._floats(batch))

    def run(
        self,
        weight: np.ndarray,
        input: np.ndarray,
        output: np.ndarray,
        bias: np.ndarray | None,
        workspace: np.ndarray,
        threads: int,
    ) -> None:
        """Write all phases to `output`.

        Args:
            weight: (live,) float32, in canonical order.
            input: (batch, in_channels, height, width), contiguous float32.
            output: (batch, out_channels, height', width'), contiguous float32.
            bias: (out_channels,) float32 or None.
            workspace: (floats,), its contents are lost; not shared by concurrent calls.
            threads: of the OpenMP pool, which torch shares.
        """
        floats = self._floats(len(input))
        rest = workspace[sum(floats) :]
        parts: list[tuple[np.ndarray | None, int, int]] = []
        at = 0
        for (layer, top, left), geometry, size in zip(
            self._phases, self._geometries, floats, strict=True
        ):
            if layer is None or geometry is None:
                parts.append((None, 0, 0))
                continue
            shape = (len(input), geometry.out_channels, *geometry.out_size)
            result = workspace[at : at + size].reshape(shape)
            at += size
            parts.append((result, top, left))
            layer.run(weight, input, result, bias, rest, threads)
        _C.interleave(
            self._isa,
            parts,
            output,
            stride_y=self._stride[0],
            stride_x=self._stride[1],
            threads=threads,
        )

    def _floats(self, batch: int) -> list[int]:
        """Floats of each phase's result."""
        sizes: list[int] = []
        for geometry in self._geometries:
            floats = 0
            if geometry is not None:
                height, width = geometry.out_size
                floats = batch * geometry.out_channels * height * width
            sizes.append(floats)
        return sizes
