"""Layers as weighted sums: values, what is read, and constants that are removed."""

from typing import Any

import numpy as np
import pytest
from torch.fx import Graph, Node

from openwork.flow.atoms import Atoms, Layout
from openwork.flow.op import Inconsistent
from openwork.flow.weighted_sum import Fold, Placement, Weight, WeightedSum

NAN = float("nan")
FOLD = Fold("bias", 1)
NODE: Node = Graph().placeholder("x")


def _op(
    values: list[float],
    sums: Any,
    *,
    profiles: Any = 0,
    groups: int = 1,
    keeps_constants: bool = True,
    fold: Fold | None = FOLD,
    exclusive: bool = True,
    spatial: bool = True,
) -> tuple[Atoms, WeightedSum]:
    """A layer of a (2, n, 5, 5) input, with these kernels' sums (groups, out, in) and no bias."""
    atoms = Atoms()
    inputs = atoms.new(np.array(values), profiles)
    sums = np.array(sums, dtype=float)
    outputs = sums.shape[0] * sums.shape[1]
    weight = Weight(
        "layer.weight",
        atoms.new(np.full(outputs, NAN)),
        atoms.new(np.full(len(values), NAN)),
        groups,
        sums != 0,
        sums,
    )
    layout = Layout((2, len(values), 5, 5), inputs.reshape(1, -1, 1, 1))
    placement = Placement(1, (2, outputs, 5, 5), keeps_constants, spatial)
    bias = np.zeros(outputs)
    op = WeightedSum(atoms, NODE, (NODE, 0), layout, weight, bias, placement, fold, exclusive)
    return atoms, op


def _gone(atoms: Atoms, ids: Any) -> np.ndarray:
    gone = np.zeros(len(atoms.frozen()), dtype=bool)
    gone[ids] = True
    return gone


def test_outputs_of_constants_are_constant() -> None:
    atoms, op = _op([2.0, NAN, 0.5], [[[1, 0, 2], [1, 1, 0], [0, 0, 0]]])
    values = atoms.value[op.out]
    assert np.array_equal(values, [3.0, NAN, 0.0], equal_nan=True)
    assert np.array_equal(op.constants, [2.0, NAN, 0.5], equal_nan=True)
    assert op.outputs[0].shape == (2, 3, 5, 5)
    assert op.outputs[0].along(1).tolist() == op.out.tolist()  # type: ignore[union-attr]


def test_padding_makes_outputs_of_constants_depend_on_the_place() -> None:
    atoms, op = _op([2.0, 0.0], [[[1, 0], [0, 1]]], keeps_constants=False)
    assert np.array_equal(atoms.value[op.out], [NAN, 0.0], equal_nan=True)


def test_channels_are_coupled_with_the_axes_of_the_weight() -> None:
    atoms, op = _op([NAN, NAN], [[[1, 1], [1, 1], [1, 1]]])
    group = atoms.coupled_groups()
    assert group[op.out].tolist() == group[op.weight.out].tolist()
    assert group[op.ids].tolist() == group[op.weight.inside].tolist()
    assert len(set(group[[*op.out, *op.ids]].tolist())) == 5


def test_an_input_is_live_if_a_live_output_reads_it() -> None:
    atoms, op = _op([NAN, NAN, NAN], [[[1, 0, 0], [0, 1, 0]]])
    live = np.zeros(len(atoms.frozen()), dtype=bool)
    live[op.out[0]] = True
    op.propagate_liveness(atoms, live)
    assert live[op.ids].tolist() == [True, False, False]


def test_removed_constants_are_folded() -> None:
    atoms, op = _op([2.0, NAN, 0.5], [[[1, 1, 2], [3, 1, 0]]])
    gone = _gone(atoms, op.ids[[0, 2]])
    assert op.folded(gone).tolist() == [True, False, True]
    assert not op.absorbed(gone).any()
    assert op.added(op.folded(gone)).tolist() == [3.0, 6.0]
    assert op.violations(gone) is None


def test_where_padding_shows_another_constant_absorbs_them() -> None:
    atoms, op = _op(
        [1.0, NAN, -4.0, 2.0, 3.0], [[[1, 1, 1, 1, 1]]], profiles=[0, 0, 0, 0, 7],
        keeps_constants=False,
    )  # fmt: skip
    gone = _gone(atoms, op.ids[[0, 3]])
    assert not op.folded(gone).any()
    assert op.absorbed(gone).tolist() == [True, False, False, True, False]
    # The largest of the same profile.
    assert op.absorbers(gone).tolist() == [2, -1, -1, 2, -1]
    assert op.violations(gone) is None
    # Nothing absorbs the last: the largest of them is kept.
    gone = _gone(atoms, op.ids[[0, 2, 3]])
    keep = op.violations(gone)
    assert keep is not None
    assert keep.tolist() == [op.ids[2]]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"exclusive": False}, True),
        ({"profiles": [3, 3, 0], "spatial": False}, True),
        ({"profiles": [3, 3, 0]}, False),
        ({"fold": None}, False),
        ({}, False),
    ],
)
def test_constants_that_nothing_can_take_are_kept(options: dict, kept: bool) -> None:
    atoms, op = _op([1.0, 2.0, NAN], [[[1, 1, 1]]], **options)
    keep = op.violations(_gone(atoms, op.ids[:1]))
    assert (keep is not None) == kept
    if keep is not None:
        assert keep.tolist() == [op.ids[0]]


def test_a_layer_keeps_a_channel_on_each_side() -> None:
    atoms, op = _op([NAN, NAN], [[[1, 1], [1, 1]]])
    for ids in (op.weight.out, op.weight.inside):
        keep = op.violations(_gone(atoms, ids))
        assert keep is not None
        assert keep.tolist() == [ids[0]]


def test_groups_stay_equal() -> None:
    atoms, op = _op([NAN] * 4, [[[1, 1], [1, 1]], [[1, 1], [1, 1]]], groups=2)
    out, inside = op.weight.by_group()
    for ids in (out[0, :1], inside[1, 1:]):
        keep = op.violations(_gone(atoms, ids))
        assert keep is not None
        assert keep.tolist() == ids.tolist()
    assert op.violations(_gone(atoms, [*out[:, 0], *inside[:, 1]])) is None
    # A group is removed whole or not at all.
    keep = op.violations(_gone(atoms, out[0]))
    assert keep is not None
    assert keep.tolist() == [out[0, 0]]
    assert op.violations(_gone(atoms, [*out[0], *inside[0]])) is None


def test_columns_are_the_original_inputs_in_their_new_order() -> None:
    atoms, op = _op([NAN] * 4, [[[1, 1, 1, 1]]])
    gone = _gone(atoms, op.ids[[1]])
    moved = Layout.of(np.broadcast_to(op.ids[[3, 0, 2]].reshape(1, 3, 1, 1), (2, 3, 5, 5)))
    assert op.columns(moved, gone).tolist() == [3, 0, 2]
    (layout,) = op.reinfer([moved], gone)
    assert layout.shape == (2, 1, 5, 5)
    for wrong in (op.ids, op.ids[[0, 2]], op.ids[[0, 0, 2]]):
        ids = np.broadcast_to(wrong.reshape(1, -1, 1, 1), (2, len(wrong), 5, 5))
        with pytest.raises(Inconsistent) as caught:
            op.columns(Layout.of(ids), gone)
        assert caught.value.keep.tolist() == op.ids.tolist()


def test_columns_stay_in_their_groups() -> None:
    atoms, op = _op([NAN] * 4, [[[1, 1]], [[1, 1]]], groups=2)
    gone = _gone(atoms, [])

    def columns(order: list[int]) -> list[int]:
        layout = Layout((2, 4, 5, 5), op.ids[order].reshape(1, 4, 1, 1))
        return op.columns(layout, gone).tolist()

    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        assert columns(order) == order
    with pytest.raises(Inconsistent):
        columns([0, 2, 1, 3])


def test_depthwise_weights_have_one_input_in_each_group() -> None:
    _, op = _op([NAN] * 2, [[[1]], [[1]]], groups=2)
    assert op.weight.depthwise
    assert not _op([NAN] * 2, [[[1, 1]]])[1].weight.depthwise
