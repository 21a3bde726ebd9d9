"""`WeightedSum`: convolutions and linear layers, whose outputs are weighted sums of inputs."""

from dataclasses import dataclass
from typing import final

import numpy as np
from torch.fx import Node

from openwork.flow.atoms import UNKNOWN, Atoms, Layout
from openwork.flow.op import Inconsistent, Layouts, Op, Source, balance

__all__ = ["Weight", "WeightedSum"]


@dataclass(frozen=True, eq=False)
class Weight:
    """The weight of a layer, and the atoms of its two axes.

    Attributes:
        name: the qualified name of the parameter.
        out, inside: atoms (out_channels,) and (in_channels,), of all groups together.
        groups: of the convolution.
        reads: (groups, out / groups, in / groups) bool: which connections are not zero.
        sums: (groups, out / groups, in / groups): the sum of each kernel's taps, in float64 if a
            kernel has several.
        transposed: whether the parameter is `(in, out / groups, ...)`.
    """

    name: str
    out: np.ndarray
    inside: np.ndarray
    groups: int
    reads: np.ndarray
    sums: np.ndarray
    transposed: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether every group has one input."""
        return self.groups > 1 and self.groups == len(self.inside)

    def by_group(self) -> tuple[np.ndarray, np.ndarray]:
        """`out` and `inside` as (groups, n)."""
        return self.out.reshape(self.groups, -1), self.inside.reshape(self.groups, -1)


@dataclass(frozen=True)
class Placement:
    """Which axes of its tensors a layer works on.

    Attributes:
        axis: the axis of the channels.
        shape: the shape of the result.
        keeps_constants: whether a constant input gives a constant output, that is, whether there
            is no padding and the layer is not transposed.
        spatial: whether channels are feature maps. The features of a flattened map are not: each
            has its own place.
    """

    axis: int
    shape: tuple[int, ...]
    keeps_constants: bool
    spatial: bool


@dataclass(frozen=True)
class Fold:
    """Where the constant is added that an output gets from removed inputs.

    Attributes:
        name: the qualified name of a bias, which may have to be created, or of the running mean
            of the batch normalisation that follows.
        sign: 1 if the constant is added to it, -1 if it is subtracted.
    """

    name: str
    sign: int


@final
class WeightedSum(Op):
    """A layer's use of its weight.

    Args:
        atoms: to which the result's are added.
        node: as in `Op`.
        source, input: the tensor that it reads, and its layout.
        weight: of the layer.
        bias: (out_channels,) float64.
        placement: the axes that it works on.
        fold: where constants of removed inputs are added; None if there is no such place.
        exclusive: whether nothing else uses the weight and the tensor of `fold`, so that they may
            be changed.
    """

    def __init__(
        self,
        atoms: Atoms,
        node: Node,
        source: Source,
        input: Layout,
        weight: Weight,
        bias: np.ndarray,
        placement: Placement,
        fold: Fold | None,
        exclusive: bool,
    ) -> None:
        self.node, self.sources, self.inputs = node, [source], [input]
        self.weight, self.placement, self.fold, self.exclusive = weight, placement, fold, exclusive
        self._atoms = atoms
        channels = input.along(placement.axis)
        # Where channels lie along other axes too, all of them are read and none is removed.
        self._reads_all = channels is None
        if channels is None:
            atoms.freeze(input.ids)
            channels = np.full(input.shape[placement.axis], UNKNOWN)
        self.ids = channels
        self.out = atoms.new(self._values(bias))
        atoms.couple(self.out, weight.out)
        atoms.couple(self.ids, weight.inside)
        self.outputs = [self._layout(self.out, placement.shape)]

    def _layout(self, out: np.ndarray, shape: tuple[int, ...]) -> Layout:
        ids = out.reshape([-1 if axis == self._axis else 1 for axis in range(len(shape))])
        return Layout(tuple(n if i != self._axis else len(out) for i, n in enumerate(shape)), ids)

    @property
    def _axis(self) -> int:
        return self.placement.axis % len(self.placement.shape)

    def _values(self, bias: np.ndarray) -> np.ndarray:
        """(out_channels,) the constant that each output is; NaN if it depends on the input."""
        value = self._atoms.value[self.ids]
        uniform = self._atoms.profile[self.ids] == 0
        constant = (value == 0) | (~np.isnan(value) & uniform & self.placement.keeps_constants)
        groups = self.weight.groups
        unknown = (self.weight.reads & ~constant.reshape(groups, 1, -1)).any(2).reshape(-1)
        return np.where(unknown, np.nan, bias + self.added(constant))

    @property
    def constants(self) -> np.ndarray:
        """(in_channels,) the value of each input; NaN for those that depend on the input."""
        return self._atoms.value[self.ids]

    def added(self, inputs: np.ndarray) -> np.ndarray:
        """(out_channels,) what the constants of `inputs` (in_channels,) bool add to each output."""
        value = np.where(inputs, np.nan_to_num(self._atoms.value[self.ids]), 0.0)
        by_group = value.reshape(self.weight.groups, -1)
        # Few are constant, and heads have up to 100 million weights.
        some = np.flatnonzero(by_group.any(0))
        # NaN stands for weights that are zero and may not stay so once the network is trained.
        sums = np.nan_to_num(self.weight.sums[:, :, some])
        return np.einsum("goi,gi->go", sums, by_group[:, some]).reshape(-1)

    def propagate_liveness(self, atoms: Atoms, live: np.ndarray) -> None:
        if self._reads_all:
            live[self.inputs[0].ids] = True
        needed = live[self.out] & ~atoms.is_constant(self.out)
        live[self.ids[self._read_by(needed)]] = True

    def _read_by(self, outputs: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: inputs that one of `outputs` (out_channels,) bool reads."""
        wanted = outputs.reshape(self.weight.groups, -1, 1)
        return (self.weight.reads & wanted).any(1).reshape(-1)

    def folded(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: removed constants that are added to the tensor of `fold`."""
        value, profile = self._atoms.value[self.ids], self._atoms.profile[self.ids]
        constant = gone[self.ids] & ~np.isnan(value) & (value != 0)
        return (
            constant & (profile == 0) & (self.placement.keeps_constants and self.fold is not None)
        )

    def absorbed(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: removed constants that a remaining constant channel must absorb."""
        value = self._atoms.value[self.ids]
        constant = gone[self.ids] & ~np.isnan(value) & (value != 0)
        return constant & ~self.folded(gone) & self._read_by(~gone[self.out])

    def absorbers(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) for each of `absorbed` the input that absorbs it; -1 if there is none.

        By linearity, a layer's response to v times a profile is v / w times its response to w
        times the same profile, also at padded borders and for any size.
        """
        absorber = np.full(len(self.ids), -1)
        value, profile = self._atoms.value[self.ids], self._atoms.profile[self.ids]
        width = len(self.ids) // self.weight.groups
        weights = np.where(~gone[self.ids], np.abs(np.nan_to_num(value)), 0)
        for index in np.flatnonzero(self.absorbed(gone)):
            start = index // width * width
            group = slice(start, start + width)
            fit = np.where(profile[group] == profile[index], weights[group], 0)
            if fit.any():
                absorber[index] = start + fit.argmax()
        return absorber

    def violations(self, gone: np.ndarray) -> np.ndarray | None:
        for rule in (self._unabsorbed, self._emptied, self._unequal):
            keep = rule(gone)
            if keep is not None:
                return keep
        return None

    def _emptied(self, gone: np.ndarray) -> np.ndarray | None:
        for ids in (self.weight.out, self.weight.inside):
            if gone[ids].all():
                return ids[:1]
        return None

    def _unequal(self, gone: np.ndarray) -> np.ndarray | None:
        weight = self.weight
        if weight.groups == 1 or weight.depthwise:
            return None
        out, inside = weight.by_group()
        no_out, no_inside = gone[out].all(1), gone[inside].all(1)
        if (no_out != no_inside).any():
            # A group is removed whole or not at all.
            return np.concatenate([out[no_out & ~no_inside, 0], inside[no_inside & ~no_out, 0]])
        keep = balance(out[~no_out], gone)
        return balance(inside[~no_out], gone) if keep is None else keep

    def _unabsorbed(self, gone: np.ndarray) -> np.ndarray | None:
        absorbed = self.absorbed(gone)
        lost = absorbed & (self._atoms.profile[self.ids] != 0) & (not self.placement.spatial)
        if not self.exclusive:
            lost = absorbed | self.folded(gone)
        if lost.any():
            return self.ids[lost]
        alone = absorbed & (self.absorbers(gone) < 0)
        if not alone.any():
            return None
        value = np.where(alone, np.abs(np.nan_to_num(self._atoms.value[self.ids])), 0)
        return self.ids[[value.argmax()]]

    def columns(self, input: Layout, gone: np.ndarray) -> np.ndarray:
        """The original's input channel at each channel of an input without removed channels.

        Raises:
            Inconsistent: its channels are not those of the original without the removed ones,
                group by group.
        """
        channels = input.along(self.placement.axis)
        if self._reads_all:
            channels = np.full(input.shape[self.placement.axis], UNKNOWN)
        staying = np.flatnonzero(~gone[self.ids])
        if channels is None or len(channels) != len(staying) or not len(channels):
            raise Inconsistent(*self.inputs)
        order = np.argsort(self.ids, kind="stable")
        place = np.searchsorted(self.ids[order], channels) + _occurrence(channels)
        columns = order[np.minimum(place, len(order) - 1)]
        if (self.ids[columns] != channels).any() or (np.sort(columns) != staying).any():
            raise Inconsistent(*self.inputs)
        width = 1 if self.weight.depthwise else len(self.ids) // self.weight.groups
        if self.weight.groups > 1 and (np.diff(columns // width) < 0).any():
            raise Inconsistent(*self.inputs)
        return columns

    def reinfer(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        self.columns(inputs[0], gone)
        return [self._layout(self.out[~gone[self.out]], self.placement.shape)]


def _occurrence(ids: np.ndarray) -> np.ndarray:
    """(n,) how many of the same ids come before each of `ids` (n,)."""
    order = np.argsort(ids, kind="stable")
    ranks = np.arange(len(ids))
    first = np.searchsorted(ids[order], ids[order])
    result = np.empty_like(ranks)
    result[order] = ranks - first
    return result
