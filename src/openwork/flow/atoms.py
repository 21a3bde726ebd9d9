"""Atoms: sets of numbers that have the same properties in every tensor and are removed together.

A channel of a convolution's output is an atom; the same channel behind a view, a concatenation or
a flattening is the same atom. The sum of two channels is a new one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["UNKNOWN", "Layout"]

# The atom of everything that is not understood: it depends on the input and is never removed.
UNKNOWN = 0


@dataclass(frozen=True, eq=False)
class Layout:
    """Which atom each number of a tensor belongs to.

    Attributes:
        shape: of the tensor.
        ids: integers that broadcast to `shape`, of size 1 along axes where all are equal.
    """

    shape: tuple[int, ...]
    ids: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray) -> "Layout":
        """The layout of a tensor with the shape of `ids`."""
        shape = ids.shape
        for axis in range(ids.ndim):
            first = ids.take([0], axis) if ids.shape[axis] else ids
            if (ids == first).all():
                ids = first
        return cls(shape, ids)

    @classmethod
    def unknown(cls, shape: tuple[int, ...]) -> "Layout":
        """The layout of a tensor that is not understood."""
        return cls(shape, np.full((1,) * len(shape), UNKNOWN))

    def full(self) -> np.ndarray:
        """The ids in the tensor's own shape, without a copy."""
        return np.broadcast_to(self.ids, self.shape)

    def varies(self, axis: int) -> bool:
        """Whether atoms differ along `axis`."""
        return self.ids.shape[axis] > 1

    def along(self, axis: int) -> np.ndarray | None:
        """The atoms (shape[axis],) along `axis`; None if they also differ along another axis."""
        if self.ids.size != self.ids.shape[axis]:
            return None
        return np.broadcast_to(self.ids.reshape(-1), (self.shape[axis],))


class Atoms:
    """What is known of every atom.

    Attributes:
        value: (n,) float64; an atom that is the same for every input is `value` times its
            profile. NaN: it depends on the input.
        profile: (n,) int64; 0 for the profile that is 1 everywhere, other numbers for profiles
            that depend on the size of the feature map only, such as what an average over zero
            padding leaves near the borders.
    """

    def __init__(self) -> None:
        self._values = [np.array([np.nan])]
        self._profiles = [np.array([0])]
        self._count = 1
        self._pairs: list[np.ndarray] = []
        self._frozen: list[np.ndarray] = [np.array([UNKNOWN])]

    def new(self, value: np.ndarray, profile: np.ndarray | int = 0) -> np.ndarray:
        """Add atoms with these values (n,) and profiles (n,) or one for all; their ids (n,)."""
        value = np.asarray(value, dtype=np.float64).reshape(-1)
        value = np.where(np.isfinite(value), value, np.nan)
        # Zero times any profile is zero.
        profiles = np.where(np.nan_to_num(value) == 0, 0, np.broadcast_to(profile, value.shape))
        self._values.append(value)
        self._profiles.append(profiles)
        self.__dict__.pop("value", None)
        self.__dict__.pop("profile", None)
        first, self._count = self._count, self._count + value.size
        return np.arange(first, self._count)

    @cached_property
    def value(self) -> np.ndarray:
        self._values = [np.concatenate(self._values)]
        return self._values[0]

    @cached_property
    def profile(self) -> np.ndarray:
        self._profiles = [np.concatenate(self._profiles)]
        return self._profiles[0]

    def is_constant(self, ids: np.ndarray) -> np.ndarray:
        """Whether each of `ids` is the same for every input; bool, of the shape of `ids`."""
        return ~np.isnan(self.value[ids])

    def couple(self, one: np.ndarray, two: np.ndarray) -> None:
        """Couple the atoms at equal places: none is removed without the other. Shapes broadcast."""
        both = np.broadcast_arrays(one, two)
        self._pairs.append(np.stack([ids.reshape(-1) for ids in both]))

    def freeze(self, ids: np.ndarray) -> None:
        """Mark atoms that must not be removed."""
        self._frozen.append(np.unique(ids))

    def frozen(self) -> np.ndarray:
        """(n,) bool: atoms that must not be removed."""
        mask = np.zeros(self._count, dtype=bool)
        mask[np.concatenate(self._frozen)] = True
        return mask

    def coupled_groups(self) -> np.ndarray:
        """(n,) for each atom the smallest id of those that can only be removed with it."""
        root = np.arange(self._count)
        one, two = np.concatenate([np.empty((2, 0), int), *self._pairs], axis=1)
        while True:
            low = np.minimum(root[one], root[two])
            before = root.copy()
            np.minimum.at(root, before[one], low)
            np.minimum.at(root, before[two], low)
            root = root[root]
            if (root == before).all():
                return root
