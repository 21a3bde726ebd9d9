"""What handlers are given: layouts, constants, names, and how they decline."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import Node

from openwork.capture import Captured, capture
from openwork.capture.operators import NotUnderstood
from openwork.flow.atoms import UNKNOWN, Layout
from openwork.flow.context import AnalysisContext, Opaque, concrete, number, shapes
from openwork.flow.weighted_sum import Weight


class Scaled(nn.Module):
    """A weight, its parameters used once and twice, a buffer of whole numbers, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 4, 1), nn.Parameter(torch.tensor([1.0, 0, 2, 0.5]))
        self.register_buffer("places", torch.tensor([0, 2]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) * self.scale.reshape(4, 1, 1) + self.scale.sum()
        return y.index_select(1, self.places).reshape(x.shape[0], -1) + torch.tensor([0.25])


@pytest.fixture(scope="module")
def captured() -> tuple[Captured, nn.Module]:
    model = Scaled().eval()
    return capture(model, (torch.rand(2, 3, 5, 5),)), model


@pytest.fixture
def ctx(captured: tuple[Captured, nn.Module]) -> AnalysisContext:
    return AnalysisContext(*captured)


def _node(captured: tuple[Captured, nn.Module], name: str) -> Any:
    return next(n for n in captured[0].program.graph.nodes if n.name == name)


def test_parameters_have_values_and_a_layout_of_their_own(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    scale = _node(captured, "p_scale")
    layout = ctx.input(scale)
    assert layout.shape == (4,)
    assert ctx.atoms.value[layout.ids].tolist() == [1, 0, 2, 0.5]
    assert ctx.input(scale) is layout
    assert ctx.vectors == {"scale": layout}
    assert ctx.constant_layouts == {(scale, 0): layout}
    assert not ctx.atoms.frozen()[layout.ids].any()


def test_weights_and_whole_numbers_are_read_whole(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    for name, shape in (("p_conv_weight", (4, 3, 1, 1)), ("b_places", (2,))):
        layout = ctx.input(_node(captured, name))
        assert layout.shape == shape
        assert np.unique(layout.ids).tolist() == [UNKNOWN]
    assert ctx.vectors == {}


def test_tensors_and_names_behind_arguments(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    _, model = captured
    weight, scale = _node(captured, "p_conv_weight"), _node(captured, "p_scale")
    found = ctx.tensor(weight)
    assert found is not None
    assert found.data_ptr() == model.get_parameter("conv.weight").data_ptr()
    assert ctx.tensor(None) is None
    assert ctx.parameter_name(weight) == "conv.weight"
    assert ctx.used_once(weight, None)
    assert not ctx.used_once(weight, scale)
    conv = _node(captured, "conv2d")
    for call in (ctx.tensor, ctx.input, ctx.parameter_name):
        with pytest.raises(NotUnderstood):
            call(conv)
    for bad in (3.0, None):
        with pytest.raises(NotUnderstood):
            ctx.input(bad)


def test_a_node_may_stand_for_a_tensor_that_exists(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    conv, scale = _node(captured, "conv2d"), _node(captured, "p_scale")
    assert ctx.source(conv) == (conv, 0)
    ctx.alias(conv, (scale, 0))
    assert ctx.source(conv) == (scale, 0)
    assert ctx.sources([scale, conv]) == [(scale, 0)] * 2


def test_opaque_operators_read_and_keep_everything(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    reshape = next(n for n in captured[0].program.graph.nodes if "p_scale" in map(str, n.args))
    op = ctx.opaque(reshape)
    assert isinstance(op, Opaque)
    ids = op.inputs[0].ids
    assert ctx.atoms.frozen()[ids].all()
    assert [layout.shape for layout in op.outputs] == [(4, 1, 1)]
    assert np.unique(op.outputs[0].ids).tolist() == [UNKNOWN]
    live = np.zeros(len(ctx.atoms.frozen()), dtype=bool)
    op.propagate_liveness(ctx.atoms, live)
    assert live[ids].all()
    assert op.reinfer(op.inputs, ~live) is op.outputs
    ctx.add(op)
    assert ctx.ops == [op]
    assert ctx.layouts[(reshape, 0)] is op.outputs[0]


def test_constants_that_differ_from_place_to_place_are_kept(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    scale = _node(captured, "p_scale")
    ids = ctx.atoms.new(np.array([1.0, 1.0]), np.array([0, 3]))
    ctx.layouts[(scale, 0)] = Layout.of(ids)
    ctx.require_uniform(scale)
    assert ctx.atoms.frozen()[ids].tolist() == [False, True]


def test_profiles_are_new_for_each_operator_and_profile(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    one, two = _node(captured, "conv2d"), _node(captured, "p_scale")
    assert ctx.new_profiles(one, np.array([0, 5, 0])).tolist() == [1, 2, 1]
    assert ctx.new_profiles(one, np.array([5])).tolist() == [2]
    assert ctx.new_profiles(two, np.array([5])).tolist() == [3]


def test_weights_that_others_read_are_kept(
    ctx: AnalysisContext, captured: tuple[Captured, nn.Module]
) -> None:
    out, inside = ctx.atoms.new(np.zeros(4)), ctx.atoms.new(np.zeros(3))
    reads = np.ones((1, 4, 3), dtype=bool)
    ctx.weights["conv.weight"] = Weight("conv.weight", out, inside, 1, reads, reads * 1.0)
    ctx.finish()
    assert not ctx.atoms.frozen()[[*out, *inside]].any()
    ctx.input(_node(captured, "p_conv_weight"))
    ctx.finish()
    assert ctx.atoms.frozen()[[*out, *inside]].all()


def test_shapes_and_sizes_are_those_of_the_example(
    captured: tuple[Captured, nn.Module],
) -> None:
    assert shapes(_node(captured, "conv2d")) == [(2, 4, 5, 5)]
    size: Node = next(n for n in captured[0].program.graph.nodes if "sym_size" in n.name)
    assert number(size.meta["val"]) == 2
    assert number(7) == 7
    assert concrete([size, -1, (size, "x")]) == [2, -1, (2, "x")]
    with pytest.raises(NotUnderstood):
        concrete([_node(captured, "conv2d")])
