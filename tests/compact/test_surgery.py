"""`cut_`: weights, biases and vectors are the right slices; random networks keep their outputs."""

import copy
from typing import cast

import numpy as np
import torch
from channel_networks import KINDS, Unit, network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts import part
from torch import nn

from openwork.capture import capture
from openwork.compact import compact
from openwork.compact.select import Selection
from openwork.compact.surgery import Cuts, cut_
from openwork.flow.analysis import analyse
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import Pattern
from openwork.verify import difference

NOTHING = torch.empty(0, dtype=torch.int64).numpy()
QUICK = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# Never all, since then nothing reads the layers before.
some = st.sets(st.integers(0, 7), max_size=7)
parts = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4)


def _cut(model: nn.Module, example: torch.Tensor) -> tuple[nn.Module, Selection]:
    """Cut by analysis alone, without comparing or falling back."""
    analysis = analyse(capture(model, (example,)), model)
    selection = Selection(analysis, NOTHING)
    small = copy.deepcopy(model)
    cut_(small, analysis, selection)
    return small, selection


@QUICK
@given(kinds=parts, seed=st.integers(0, 10**6))
def test_outputs_are_kept_at_any_size(kinds: list[str], seed: int) -> None:
    torch.manual_seed(seed)
    model = network(kinds, seed)
    small, _ = _cut(model, torch.randn(2, 3, 24, 24))
    with torch.no_grad():
        for size in ((24, 24), (37, 29)):
            x = torch.randn(2, 3, *size, dtype=torch.float64)
            expected = copy.deepcopy(model).double()(x)
            # Constants are folded in float64 and stored in float32.
            assert difference(expected, copy.deepcopy(small).double()(x)) < 1e-5


@QUICK
@given(seed=st.integers(0, 10**6), dead=st.lists(some, min_size=3, max_size=3))
def test_all_that_is_known_to_be_dead_is_removed(seed: int, dead: list[set[int]]) -> None:
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    units = [Unit(3, 8, draw), Unit(8, 8, draw), Unit(8, 8, draw)]
    for unit, channels in zip(units, dead, strict=True):
        unit.act = nn.SiLU()
        # Only the dead channels have scales of zero.
        nn.init.uniform_(unit.norm.bias, 0.1, 0.5)
        for tensor in (unit.norm.weight, unit.norm.bias):
            tensor.data[sorted(channels)] = 0
    model = nn.Sequential(*units, nn.Conv2d(8, 2, 1)).eval()
    small, _ = _cut(model, torch.randn(1, 3, 24, 24))
    for index, channels in enumerate(dead):
        unit = part(small, index, Unit)
        assert unit.conv.out_channels == unit.norm.num_features == 8 - len(channels)


@settings(QUICK, max_examples=6)
@given(kinds=parts, seed=st.integers(0, 10**6))
def test_compacting_twice_changes_nothing(kinds: list[str], seed: int) -> None:
    torch.manual_seed(seed)
    model = network(kinds, seed)
    small, _ = compact(model, torch.randn(1, 3, 24, 24))
    again, _ = compact(small, torch.randn(1, 3, 24, 24))
    one, two = small.state_dict(), again.state_dict()
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in two.items()}


def _cuts(model: nn.Module, side: int = 6) -> tuple[nn.Module, Cuts]:
    analysis = analyse(capture(model.eval(), (torch.rand(2, 2, side, side),)), model)
    small = copy.deepcopy(model)
    return small, cut_(small, analysis, Selection(analysis, np.empty(0, int)))


@torch.no_grad()
def test_kept_rows_and_columns_are_those_of_the_original() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 1, bias=False)
    )
    model.get_parameter("1.weight")[[0, 3]], model.get_parameter("1.bias")[[0, 3]] = 0, 0
    small, cuts = _cuts(model)
    kept = [1, 2, 4]
    assert torch.equal(small.get_parameter("0.weight"), model.get_parameter("0.weight")[kept])
    assert torch.equal(small.get_parameter("0.bias"), model.get_parameter("0.bias")[kept])
    assert torch.equal(small.get_buffer("1.running_var"), model.get_buffer("1.running_var")[kept])
    assert torch.equal(small.get_parameter("3.weight"), model.get_parameter("3.weight")[:, kept])
    assert (
        part(small, 0, nn.Conv2d).out_channels,
        part(small, 1, nn.BatchNorm2d).num_features,
        part(small, 3, nn.Conv2d).in_channels,
    ) == (3, 3, 3)
    assert cuts.added == []
    momentum = torch.rand(3, 5, 1, 1)
    assert torch.equal(cuts.slices["3.weight"](momentum), momentum[:, kept])
    assert torch.equal(cuts.slices["1.bias"](torch.arange(5)), torch.tensor(kept))


@torch.no_grad()
def test_constants_are_added_to_a_bias_that_may_be_new() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1, bias=False))
    model.get_parameter("0.weight")[1], model.get_parameter("0.bias")[1] = 0, 0.5
    small, cuts = _cuts(model)
    assert cuts.added == ["2.bias"]
    torch.testing.assert_close(
        small.get_parameter("2.bias").detach(), 0.5 * model.get_parameter("2.weight")[:, 1, 0, 0]
    )
    assert torch.equal(small.get_parameter("2.weight"), model.get_parameter("2.weight")[:, [0, 2]])


@torch.no_grad()
def test_at_padded_borders_one_constant_absorbs_the_others() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    model.get_parameter("0.weight")[:2] = 0
    model.get_parameter("0.bias")[:2] = torch.tensor([0.5, 2.0])
    small, _ = _cuts(model)
    # The larger constant is kept, with a quarter of the kernel of the other.
    expected = model.get_parameter("2.weight")[:, 1:].clone()
    expected[:, 0] += model.get_parameter("2.weight")[:, 0] / 4
    torch.testing.assert_close(small.get_parameter("2.weight").detach(), expected)
    torch.testing.assert_close(small.get_parameter("2.bias"), model.get_parameter("2.bias"))


@torch.no_grad()
def test_whole_groups_are_removed() -> None:
    model = nn.Sequential(nn.Conv2d(2, 6, 1), nn.Conv2d(6, 9, 1, groups=3), nn.Conv2d(9, 2, 1))
    model.get_parameter("0.weight")[2:4], model.get_parameter("0.bias")[2:4] = 0, 0
    model.get_parameter("1.bias")[3:6] = 0
    small, cuts = _cuts(model)
    assert (
        part(small, 1, nn.Conv2d).groups,
        part(small, 1, nn.Conv2d).in_channels,
        part(small, 1, nn.Conv2d).out_channels,
    ) == (2, 4, 6)
    kept = [0, 1, 2, 6, 7, 8]
    assert torch.equal(small.get_parameter("1.weight"), model.get_parameter("1.weight")[kept])
    assert torch.equal(small.get_parameter("2.weight"), model.get_parameter("2.weight")[:, kept])
    rows = torch.arange(9.0).view(9, 1, 1, 1).expand(9, 2, 1, 1)
    assert cuts.slices["1.weight"](rows)[:, 0, 0, 0].tolist() == kept


def test_sparse_layers_without_a_dead_weight_become_plain_ones() -> None:
    """Also depthwise and grouped ones, whose groups shrink; hooks and modes stay."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 12, 3, groups=2, bias=False),
        nn.Conv2d(12, 6, 1),
        nn.Flatten(),
        nn.Linear(96, 5),
    )
    with torch.no_grad():
        model.get_parameter("1.weight")[[2, 6]] = 0
        model.get_parameter("1.bias")[[2, 6]] = 0
    for index in (0, 3, 4, 5):
        conv = part(model, index, nn.Conv2d)
        taps = np.ones(tuple(conv.weight.shape), dtype=bool)
        if index in (4, 5):
            # A removed channel of the first, and a kept one of the second.
            taps[:, index - 2] = False
        model[index] = SparseConv2d.from_dense(conv, Pattern(taps, conv.groups))
    model[7] = SparseLinear.from_dense(part(model, 7, nn.Linear))
    model[5].requires_grad_(False)
    seen: list[int] = []
    model[7].register_forward_hook(lambda *_: seen.append(7))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, 0.9)
    x = torch.randn(2, 3, 8, 8)
    model(x).sum().backward()
    optimizer.step()
    found, report = compact(model.eval(), x, optimizer=optimizer)
    small = cast(nn.Sequential, found)
    assert difference(model(x), small(x)) < 1e-6
    assert [type(small[i]) for i in (0, 3, 4, 7)] == [nn.Conv2d, nn.Conv2d, nn.Conv2d, nn.Linear]
    assert (small[3].groups, small[3].weight.shape) == (6, (6, 1, 3, 3))
    assert (small[4].groups, small[4].weight.shape) == (2, (12, 3, 3, 3))
    # Its column of dead weights is still read, so it stays sparse.
    assert isinstance(small[5], SparseConv2d)
    assert not small[5].weight.requires_grad
    seen.clear()
    small.train()(x).sum().backward()
    assert seen == [7]
    new = [name for name, p in small.named_parameters() if p not in optimizer.state]
    # It takes what the removed channels added, and one layer is frozen.
    assert new == ["4.bias", "5.weight", "5.bias"]
    for parameter, state in optimizer.state.items():
        assert state["momentum_buffer"].shape == parameter.shape
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {
        id(p) for p in small.parameters() if p.requires_grad
    }
    optimizer.step()
    assert report.parameters[1] < report.parameters[0]


def test_a_model_that_is_one_sparse_layer_stays_one() -> None:
    layer = SparseConv2d(Pattern(np.ones((4, 3, 1, 1), dtype=bool)))
    small, _ = compact(layer, torch.randn(2, 3, 4, 4))
    assert isinstance(small, SparseConv2d)
