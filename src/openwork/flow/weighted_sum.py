"""`Mix`: convolutions and linear layers, where every output is a weighted sum of inputs."""

from dataclasses import dataclass
from typing import final

import numpy as np
from torch.fx import Node

from openwork.flow.atoms import UNKNOWN, Atoms, Layout
from openwork.flow.op import Inconsistent, Layouts, Source, Step, even_out


@dataclass(frozen=True, eq=False)
class Weight:
    """The weight of a layer, and the atoms of its two axes.

    Attributes:
        name: of the parameter, qualified.
        out, inside: atoms (out_channels,) and (in_channels,), of all groups together.
        groups: of the convolution.
        reads: (groups, out / groups, in / groups) bool: which connections are not zero.
        sums: likewise, the sum of each kernel's taps, in float64 if there are several.
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
class Geometry:
    """How a layer lies on its input.

    Attributes:
        axis: of the channels.
        shape: of the result.
        flat: whether a constant input gives a constant output: no padding, not transposed.
        spatial: whether the channels of one input hold their maps at the same places; features of
            a flattened map do not.
    """

    axis: int
    shape: tuple[int, ...]
    flat: bool
    spatial: bool


@dataclass(frozen=True)
class Fold:
    """Where a constant goes that an output gets from inputs that are taken away.

    Attributes:
        name: of a bias, which may have to be made, or of the running mean of the batch
            normalisation that follows, qualified.
        sign: 1 if the constant is added to it, -1 if it is taken from it.
    """

    name: str
    sign: int


@final
class Mix(Step):
    """A layer's use of its weight.

    Args:
        atoms: to which the result's are added.
        node, source, input: as in `Step`.
        weight: its weight.
        bias: (out_channels,) float64.
        geometry: how it lies.
        fold: where constants go; None if they cannot.
        steady: whether nothing else uses weight and bias, so that they may change.
    """

    def __init__(
        self,
        atoms: Atoms,
        node: Node,
        source: Source,
        input: Layout,
        weight: Weight,
        bias: np.ndarray,
        geometry: Geometry,
        fold: Fold | None,
        steady: bool,
    ) -> None:
        self.node, self.sources, self.inputs = node, [source], [input]
        self.weight, self.geometry, self.fold, self.steady = weight, geometry, fold, steady
        self._atoms = atoms
        channels = input.along(geometry.axis)
        # Where channels lie along other axes too, all of them are read, and stay.
        self._blind = channels is None
        if channels is None:
            atoms.freeze(input.ids)
            channels = np.full(input.shape[geometry.axis], UNKNOWN)
        self.ids = channels
        self.out = atoms.new(self._values(bias))
        atoms.tie(self.out, weight.out)
        atoms.tie(self.ids, weight.inside)
        self.outputs = [self._layout(self.out, geometry.shape)]

    def _layout(self, out: np.ndarray, shape: tuple[int, ...]) -> Layout:
        ids = out.reshape([-1 if axis == self._axis else 1 for axis in range(len(shape))])
        return Layout(tuple(n if i != self._axis else len(out) for i, n in enumerate(shape)), ids)

    @property
    def _axis(self) -> int:
        return self.geometry.axis % len(self.geometry.shape)

    def _values(self, bias: np.ndarray) -> np.ndarray:
        """The constants that outputs are, NaN for those that depend on the input."""
        value = self._atoms.value[self.ids]
        simple = self._atoms.map[self.ids] == 0
        settled = (value == 0) | (~np.isnan(value) & simple & self.geometry.flat)
        groups = self.weight.groups
        unknown = (self.weight.reads & ~settled.reshape(groups, 1, -1)).any(2).reshape(-1)
        return np.where(unknown, np.nan, bias + self.added(settled))

    @property
    def constants(self) -> np.ndarray:
        """(in_channels,) the value of each input; NaN for those that depend on the input."""
        return self._atoms.value[self.ids]

    def added(self, inputs: np.ndarray) -> np.ndarray:
        """What the constants among `inputs` (in_channels,) bool add to each output, float64."""
        value = np.where(inputs, np.nan_to_num(self._atoms.value[self.ids]), 0.0)
        by_group = value.reshape(self.weight.groups, -1)
        # Few are: heads of 100 million weights are not multiplied out.
        some = np.flatnonzero(by_group.any(0))
        return np.einsum("goi,gi->go", self.weight.sums[:, :, some], by_group[:, some]).reshape(-1)

    def spread(self, atoms: Atoms, live: np.ndarray) -> None:
        if self._blind:
            live[self.inputs[0].ids] = True
        needed = live[self.out] & ~atoms.known(self.out)
        live[self.ids[self._read_by(needed)]] = True

    def _read_by(self, outputs: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: inputs that some of `outputs` (out_channels,) bool read."""
        wanted = outputs.reshape(self.weight.groups, -1, 1)
        return (self.weight.reads & wanted).any(1).reshape(-1)

    def folded(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: constants that go, to be added to the output's own constant."""
        value, map = self._atoms.value[self.ids], self._atoms.map[self.ids]
        constant = gone[self.ids] & ~np.isnan(value) & (value != 0)
        return constant & (map == 0) & (self.geometry.flat and self.fold is not None)

    def carried(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) bool: constants that go, to be borne by a constant channel that stays."""
        value = self._atoms.value[self.ids]
        constant = gone[self.ids] & ~np.isnan(value) & (value != 0)
        return constant & ~self.folded(gone) & self._read_by(~gone[self.out])

    def carriers(self, gone: np.ndarray) -> np.ndarray:
        """(in_channels,) index of the input that bears each of `carried`; -1 where there is none.

        By linearity a layer's answer to v times a map is v / w times its answer to w times the
        map, at padded borders and of any size.
        """
        bearer = np.full(len(self.ids), -1)
        value, map = self._atoms.value[self.ids], self._atoms.map[self.ids]
        width = len(self.ids) // self.weight.groups
        weights = np.where(~gone[self.ids], np.abs(np.nan_to_num(value)), 0)
        for index in np.flatnonzero(self.carried(gone)):
            start = index // width * width
            group = slice(start, start + width)
            fit = np.where(map[group] == map[index], weights[group], 0)
            if fit.any():
                bearer[index] = start + fit.argmax()
        return bearer

    def uneven(self, gone: np.ndarray) -> np.ndarray | None:
        for rule in (self._unborne, self._emptied, self._unequal):
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
            # A group goes whole or not at all.
            return np.concatenate([out[no_out & ~no_inside, 0], inside[no_inside & ~no_out, 0]])
        keep = even_out(out[~no_out], gone)
        return even_out(inside[~no_out], gone) if keep is None else keep

    def _unborne(self, gone: np.ndarray) -> np.ndarray | None:
        carried = self.carried(gone)
        lost = carried & (self._atoms.map[self.ids] != 0) & (not self.geometry.spatial)
        if not self.steady:
            lost = carried | self.folded(gone)
        if lost.any():
            return self.ids[lost]
        alone = carried & (self.carriers(gone) < 0)
        if not alone.any():
            return None
        value = np.where(alone, np.abs(np.nan_to_num(self._atoms.value[self.ids])), 0)
        return self.ids[[value.argmax()]]

    def columns(self, input: Layout, gone: np.ndarray) -> np.ndarray:
        """The input channel of the original at each channel of a shrunken input.

        Raises:
            Inconsistent: its channels are not those of the original less what is gone, group by
                group.
        """
        channels = input.along(self.geometry.axis)
        if self._blind:
            channels = np.full(input.shape[self.geometry.axis], UNKNOWN)
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

    def shrink(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        self.columns(inputs[0], gone)
        return [self._layout(self.out[~gone[self.out]], self.geometry.shape)]


def _occurrence(ids: np.ndarray) -> np.ndarray:
    """How many equal ones come before each of `ids`."""
    order = np.argsort(ids, kind="stable")
    ranks = np.arange(len(ids))
    first = np.searchsorted(ids[order], ids[order])
    result = np.empty_like(ranks)
    result[order] = ranks - first
    return result
