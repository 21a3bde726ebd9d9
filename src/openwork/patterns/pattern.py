"""`Pattern`: which taps of one layer are live. Fixed, hashable, and small in memory."""

import base64
import binascii
import hashlib
import math
import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from openwork._arguments import check_count, check_groups, check_kernel
from openwork.errors import ArgumentError
from openwork.patterns.gaps import decode, encode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class Pattern:
    """Which taps of a convolution or linear layer are live; immutable, comparable and hashable.

    Everywhere in openwork, live weights are in canonical order: sorted by (output, input, ky, kx),
    the row-major order of `taps`.

    Args:
        taps: boolean array `(out_channels, in_channels / groups, kh, kw)` for a convolution,
            `(out_channels, in_channels)` for a linear layer. True where a weight is live.
        groups: groups of the convolution, default 1; the filters of group `g` read only the input
            channels of group `g`. Must be 1 for a linear layer.

    Attributes:
        shape: shape of the dense weight, as `taps`.
        gaps: `(units,)` uint8 or int32, read-only: the gaps between live units, the stored form.
        whole: True if the units are connections, live with all their taps; False for single taps.
        digest: SHA-256 of the pattern; equal patterns have equal digests.

    Raises:
        ArgumentError: `taps` is not boolean, has another rank or an empty axis, or `groups` does
            not divide `out_channels`.

    >>> pattern = Pattern(np.eye(3, dtype=bool))
    >>> pattern
    Pattern(3x3: 3 live, density 0.3333)
    >>> pattern.positions
    array([0, 4, 8])
    """

    def __init__(self, taps: np.ndarray, groups: int = 1) -> None:
        taps = np.asarray(taps)
        if taps.dtype != np.bool_:
            raise ArgumentError(
                f"`taps` has dtype {taps.dtype} but must be boolean; for a weight tensor use "
                "`patterns.from_weight`"
            )
        shape = _check_shape(taps.shape, groups)
        rows = taps.reshape(shape[0] * shape[1], -1)
        live = rows.any(axis=1)
        whole = bool(rows[live].all())
        positions = np.flatnonzero(live if whole else rows)
        self._set(shape, groups, encode(positions), whole)

    @classmethod
    def from_positions(
        cls, shape: Sequence[int], positions: np.ndarray, *, whole: bool = True, groups: int = 1
    ) -> Self:
        """The pattern whose units at the flat `positions` are live.

        For generators: memory grows only with the number of live units.

        Args:
            shape: shape of the weight, as for `taps`.
            positions: (n,) integers, in any order, without repeats.
            whole: True (default): the units are connections, live with all their taps, and (o, i)
                has position `o * in_channels / groups + i`; False: they are single taps, and
                (o, i, ky, kx) has its position in `taps.reshape(-1)`.
            groups: as for `Pattern`.

        Raises:
            ArgumentError: a bad shape, or positions that repeat, lie outside the layer or are not
                a vector of integers.
        """
        shape = _check_shape(shape, groups)
        units = shape[0] * shape[1] if whole else math.prod(shape)
        positions = np.asarray(positions)
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise ArgumentError(
                f"`positions` must be a vector of whole numbers, not {positions.ndim}-d "
                f"{positions.dtype}; for a boolean array use `Pattern`"
            )
        positions = positions.astype(np.int64)
        steps = np.diff(positions)
        # Those of files rise: sorting them took a fifth of the time to load a network.
        if (steps < 0).any():
            positions = np.sort(positions)
            steps = np.diff(positions)
        if positions.size and (positions[0] < 0 or positions[-1] >= units or (steps == 0).any()):
            raise ArgumentError(
                f"`positions` run from {positions[0]} to {positions[-1]}; they must be distinct "
                f"and lie in [0, {units})"
            )
        kernel = math.prod(shape[2:])
        if not whole and _are_whole(positions, kernel):
            # A pattern of whole kernels has one stored form, so that equal patterns are equal.
            whole, positions = True, positions[::kernel] // kernel
        pattern = cls.__new__(cls)
        pattern._set(shape, groups, encode(positions), whole)
        return pattern

    @classmethod
    def from_gaps(
        cls, shape: Sequence[int], gaps: np.ndarray, *, whole: bool, groups: int = 1
    ) -> Self:
        """Rebuild a pattern from its stored form; every entry is checked.

        Args:
            shape: shape of the weight, as for `taps`.
            gaps: (n,) uint8 or int32: the gaps between neighbouring live units.
            whole: True if the units are connections, False if they are single taps.
            groups: as for `Pattern`.

        Raises:
            ArgumentError: `gaps` breaks the format or leaves the layer.
        """
        shape = _check_shape(shape, groups)
        units = shape[0] * shape[1] if whole else math.prod(shape)
        positions = decode(np.asarray(gaps), units)
        return cls.from_positions(shape, positions, whole=whole, groups=groups)

    def _set(self, shape: tuple[int, ...], groups: int, gaps: np.ndarray, whole: bool) -> None:
        state = self.__dict__
        state["shape"] = shape
        state["groups"] = groups
        state["gaps"] = gaps
        state["whole"] = whole or math.prod(shape[2:]) == 1
        header = repr((shape, groups, state["whole"], str(gaps.dtype))).encode()
        state["digest"] = hashlib.sha256(header + gaps.tobytes()).hexdigest()

    if TYPE_CHECKING:
        shape: tuple[int, ...]
        groups: int
        gaps: np.ndarray
        whole: bool
        digest: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{name}` of a Pattern cannot change; make a new Pattern")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.shape, np.asarray(self.gaps), self.whole, self.groups)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.digest == other.digest

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"Pattern({size}{groups}: {self.live} live, density {self.density:.4g})"

    @property
    def out_channels(self) -> int:
        """Filters, or outputs of a linear layer."""
        return self.shape[0]

    @property
    def in_channels(self) -> int:
        """Input channels over all groups."""
        return self.shape[1] * self.groups

    @property
    def kernel(self) -> tuple[int, ...]:
        """(kh, kw), or () for a linear layer."""
        return self.shape[2:]

    @property
    def live(self) -> int:
        """Number of live taps: the length of the trained weight vector."""
        return self.gaps.size * (math.prod(self.kernel) if self.whole else 1)

    @property
    def density(self) -> float:
        """Live taps / all taps."""
        return self.live / math.prod(self.shape)

    @property
    def positions(self) -> np.ndarray:
        """Flat positions (live,) of the live taps, int64, in canonical order."""
        units = np.cumsum(self.gaps, dtype=np.int64)
        if not self.whole:
            return units
        taps = math.prod(self.kernel)
        return (units[:, None] * taps + np.arange(taps)).reshape(-1)

    @property
    def connections(self) -> np.ndarray:
        """Live connections (n, 2) as (output, input within the group), int64, sorted."""
        units = np.cumsum(self.gaps, dtype=np.int64)
        if not self.whole:
            units = units // math.prod(self.kernel)
            # Sorted already: `np.unique` would hash all of them.
            units = units[np.diff(units, prepend=-1) > 0]
        return np.stack(np.divmod(units, self.shape[1]), axis=1)

    @cached_property
    def fan_in(self) -> np.ndarray:
        """Live connections of each output channel: (out_channels,) int64."""
        return _frozen(np.bincount(self.connections[:, 0], minlength=self.out_channels))

    @cached_property
    def fan_out(self) -> np.ndarray:
        """Live connections that read each input channel: (in_channels,) int64."""
        out, inside = self.connections.T
        group = out // (self.out_channels // self.groups)
        counts = np.bincount(group * self.shape[1] + inside, minlength=self.in_channels)
        return _frozen(counts)

    @property
    def taps(self) -> np.ndarray:
        """The boolean array of `shape`; a new one at each call."""
        taps = np.zeros(math.prod(self.shape), dtype=bool)
        taps[self.positions] = True
        return taps.reshape(self.shape)

    def macs(self, *output_size: int) -> int:
        """Multiply-adds per image.

        Args:
            output_size: height and width of the output; nothing for a linear layer.

        Raises:
            ArgumentError: a wrong number of sizes, or one below 1.
        """
        for size in output_size:
            check_count("output_size", size)
        if len(output_size) != len(self.kernel):
            raise ArgumentError(
                f"`output_size`={output_size!r} must have {len(self.kernel)} numbers for a pattern "
                f"of shape {self.shape}"
            )
        return self.live * math.prod(output_size)

    def show(self) -> "Figure":
        """Draw the connection matrix (inputs across, outputs down) with the fans at the margins."""
        from openwork.patterns.picture import draw_connections

        size = " × ".join(map(str, self.shape))
        title = f"{size}, density {self.density:.3g}, {self.live:,} live weights"
        return draw_connections(self._shares(), self.fan_in, self.fan_out, title)

    def _shares(self) -> np.ndarray:
        """(out_channels, in_channels): the live share of each connection's taps."""
        shares = np.zeros((self.out_channels, self.in_channels))
        of_group = self.taps.reshape(self.shape[0], self.shape[1], -1).mean(axis=2)
        rows = self.out_channels // self.groups
        for group in range(self.groups):
            out = slice(group * rows, (group + 1) * rows)
            inputs = slice(group * self.shape[1], (group + 1) * self.shape[1])
            shares[out, inputs] = of_group[out]
        return shares

    def to_dict(self) -> dict[str, Any]:
        """The pattern as plain data, for YAML and JSON."""
        return {
            "shape": list(self.shape),
            "groups": self.groups,
            "unit": "connection" if self.whole else "tap",
            "gaps": f"{self.gaps.dtype}:{base64.b64encode(_little(self.gaps).tobytes()).decode()}",
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ArgumentError: a key is missing or unknown, or a value breaks the format.
        """
        if set(data) != {"shape", "groups", "unit", "gaps"}:
            raise ArgumentError(
                f"`data` has the keys {sorted(map(str, data))}; a pattern needs exactly shape, "
                "groups, unit and gaps"
            )
        dtype, _, text = str(data["gaps"]).partition(":")
        if dtype not in ("uint8", "int32"):
            raise ArgumentError(f"`gaps` must begin with 'uint8:' or 'int32:', not {dtype!r}")
        if data["unit"] not in ("connection", "tap"):
            raise ArgumentError(f"`unit`={data['unit']!r} must be 'connection' or 'tap'")
        try:
            raw = base64.b64decode(text, validate=True)
            gaps = np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<")).astype(dtype)
        except (binascii.Error, ValueError) as error:
            raise ArgumentError(f"`gaps` is damaged ({error}); take it from to_dict") from error
        shape, groups = data["shape"], data["groups"]
        return cls.from_gaps(shape, gaps, whole=data["unit"] == "connection", groups=groups)


def _are_whole(taps: np.ndarray, kernel: int) -> bool:
    """Whether the sorted positions `taps` are whole kernels of `kernel` taps each."""
    first, last = taps[::kernel], taps[kernel - 1 :: kernel]
    if first.size * kernel != taps.size:
        return False
    return bool((first % kernel == 0).all() and (last == first + kernel - 1).all())


def _restore(shape: tuple[int, ...], gaps: np.ndarray, whole: bool, groups: int) -> Pattern:
    return Pattern.from_gaps(shape, gaps, whole=whole, groups=groups)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _little(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _whole_numbers(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, shape))
    except TypeError:
        return ()


def _check_shape(shape: Sequence[int], groups: int) -> tuple[int, ...]:
    sizes = _whole_numbers(shape)
    if len(sizes) not in (2, 4):
        raise ArgumentError(
            f"`shape`={shape!r} must be (out, in) for a linear layer or "
            "(out, in / groups, kh, kw) for a convolution, all whole numbers"
        )
    check_count("out_channels", sizes[0])
    check_count("in_channels", sizes[1])
    check_kernel(sizes[2:])
    check_count("groups", groups)
    check_groups(sizes[0], sizes[1] * groups, groups)
    if len(sizes) == 2 and groups != 1:
        raise ArgumentError(f"`groups`={groups} must be 1 for a linear layer")
    return sizes
