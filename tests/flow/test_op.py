"""What ops do to atoms, and to tensors with nothing in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around
from parts import part
from torch import nn
from torch.fx import Graph, Node

from openwork.compact import compact
from openwork.flow.atoms import Atoms, Layout
from openwork.flow.op import Combine, Inconsistent, Layouts, Movement, balance

EXAMPLE = torch.rand(2, 3, 12, 12)
BODIES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "split": (lambda x: torch.cat(torch.split(F.relu(x), [8, 0], 1), 1), 8),
    "no rows": (lambda x: torch.cat([x[:, :, :0], x], 2), 5),
    "activated": (lambda x: torch.cat([F.relu(x[:, :, :0]) + 1, x], 2), 8),
    "summed": (lambda x: x + x[:, :, :0].sum((2, 3), keepdim=True), 8),
    "one axis": (lambda x: torch.cat([torch.empty(0), x], 1), 8),
}


@pytest.mark.parametrize("name", BODIES)
def test_empty_tensors_on_the_way(name: str) -> None:
    body, channels = BODIES[name]
    model = Around(body).eval()
    small, _ = compact(model, EXAMPLE)
    assert part(small, "conv", nn.Conv2d).out_channels == channels
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


def test_empty_outputs() -> None:
    def end(y: torch.Tensor) -> Any:
        return y, y[:, :0]

    small, _ = compact(Around(end=end), EXAMPLE)
    assert part(small, "conv", nn.Conv2d).out_channels == 5


NODE: Node = Graph().placeholder("x")
INPUT = Layout.of(np.arange(1, 5).reshape(1, 4))


def _gone(*ids: int, count: int = 9) -> np.ndarray:
    gone = np.zeros(count, dtype=bool)
    gone[list(ids)] = True
    return gone


@pytest.mark.parametrize(
    ("gone", "keep"),
    [((), None), ((1, 4), None), ((1,), [1]), ((1, 2, 6), [2]), ((1, 2, 3), [1, 2, 3])],
)
def test_rows_are_balanced(gone: tuple[int, ...], keep: list[int] | None) -> None:
    found = balance(np.array([[1, 2, 3], [4, 5, 6]]), _gone(*gone))
    assert (None if found is None else found.tolist()) == keep


def _swapped(layouts: Layouts) -> Layouts:
    ids = layouts[0].full()
    return [Layout.of(np.concatenate([ids[:, 2:], ids[:, :2]], 1))]


def test_movements_pass_atoms_on() -> None:
    op = Movement(NODE, [(NODE, 0)], [INPUT], _swapped, np.array([[1, 2], [3, 4]]))
    assert op.outputs[0].ids.tolist() == [[3, 4, 1, 2]]
    assert op.violations(_gone(1)).tolist() == [1]  # type: ignore[union-attr]
    assert op.violations(_gone(1, 3)) is None
    (layout,) = op.reinfer([Layout.of(np.array([[1, 2, 3]]))], _gone(4))
    assert layout.ids.tolist() == [[3, 1, 2]]
    live = _gone()
    op.propagate_liveness(Atoms(), live)
    assert not live.any()


@pytest.mark.parametrize("ids", [np.empty((1, 0), int), np.array([[1, 7, 3]])])
def test_movements_give_no_other_atoms_and_no_empty_tensors(ids: np.ndarray) -> None:
    op = Movement(NODE, [(NODE, 0)], [INPUT], _swapped)
    with pytest.raises(Inconsistent) as caught:
        op.reinfer([Layout((1, ids.shape[1]), ids)], _gone(4))
    assert caught.value.keep.tolist() == [1, 2, 3, 4]


def _sum(shared: tuple[int, ...] = ()) -> tuple[Atoms, np.ndarray, Combine]:
    """The sum of two tensors (1, 3), the first of them 1, NaN, 2, the second 10, 20, 10."""
    atoms = Atoms()
    ids = atoms.new(np.array([1.0, np.nan, 2, 10, 20]))
    one, two = Layout.of(ids[None, :3]), Layout.of(ids[None, [3, 4, 3]])

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        return layouts[0].shape, np.stack([each.full() for each in layouts], -1)

    def values(rows: np.ndarray) -> tuple[np.ndarray, int]:
        return atoms.value[rows].sum(1), 0

    op = Combine(atoms, NODE, [(NODE, 0)] * 2, [one, two], align, values, shared)
    return atoms, ids, op


def test_combinations_make_one_atom_for_the_same_atoms() -> None:
    atoms, ids, op = _sum()
    out = op.outputs[0].ids.reshape(-1)
    assert len(set(out.tolist())) == 3
    assert np.array_equal(atoms.value[out], [11, np.nan, 12], equal_nan=True)
    group = atoms.coupled_groups()
    # The first and the last share the second operand's first atom.
    assert group[out[0]] == group[out[2]] == group[ids[3]] != group[out[1]]
    assert group[out[1]] == group[ids[1]] == group[ids[4]]


def test_one_number_for_all_channels_is_never_removed() -> None:
    atoms, ids, op = _sum(shared=(1,))
    out = op.outputs[0].ids.reshape(-1)
    assert atoms.frozen()[ids].tolist() == [False, False, False, True, True]
    assert len(set(atoms.coupled_groups()[out].tolist())) == 3


def test_only_unknown_combinations_depend_on_their_operands() -> None:
    atoms, ids, op = _sum()
    live = _gone()
    live[op.ids] = True
    op.propagate_liveness(atoms, live)
    assert live[ids].tolist() == [False, True, False, False, True]


def test_combinations_are_found_again_without_removed_atoms() -> None:
    _, ids, op = _sum()
    out = op.outputs[0].ids.reshape(-1)
    one, two = Layout.of(ids[None, [0, 1]]), Layout.of(ids[None, [3, 4]])
    (layout,) = op.reinfer([one, two], _gone())
    assert layout.full().reshape(-1).tolist() == out[:2].tolist()
    for wrong in (Layout.of(ids[None, [4, 3]]), Layout.of(ids[None, [3, 4, 3]])):
        with pytest.raises(Inconsistent):
            op.reinfer([one, wrong], _gone())
