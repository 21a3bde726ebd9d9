"""Atoms, how they are coupled, and the layouts that name them."""

import numpy as np

from openwork.flow.atoms import UNKNOWN, Atoms, Layout


def test_layouts_keep_only_axes_that_differ() -> None:
    layout = Layout.of(np.broadcast_to(np.arange(3).reshape(1, 3, 1), (2, 3, 4)))
    assert layout.shape == (2, 3, 4)
    assert layout.ids.shape == (1, 3, 1)
    assert layout.varies(1)
    assert not layout.varies(2)
    along = layout.along(1)
    assert along is not None
    assert along.tolist() == [0, 1, 2]
    assert layout.along(2) is None
    assert layout.full().shape == (2, 3, 4)


def test_unknown_tensors_are_one_atom() -> None:
    layout = Layout.unknown((2, 3))
    along = layout.along(1)
    assert along is not None
    assert along.tolist() == [UNKNOWN] * 3


def test_values_and_profiles() -> None:
    atoms = Atoms()
    ids = atoms.new(np.array([np.nan, 0.0, 2.0]), profile=7)
    assert ids.tolist() == [1, 2, 3]
    assert atoms.is_constant(ids).tolist() == [False, True, True]
    # Zero times any profile is zero.
    assert atoms.profile[ids].tolist() == [0, 0, 7]


def test_pairs_make_groups() -> None:
    atoms = Atoms()
    ids = atoms.new(np.zeros(7))
    atoms.couple(ids[:3], ids[1:4])
    atoms.couple(ids[5], ids[4:5])
    assert atoms.coupled_groups().tolist() == [0, 1, 1, 1, 1, 5, 5, 7]
    atoms.freeze(ids[2:3])
    assert atoms.frozen().tolist() == [True, False, False, True, False, False, False, False]
