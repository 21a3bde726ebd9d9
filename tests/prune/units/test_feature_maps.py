"""A map is removed with everything that produces or reads it, in networks of every shape."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import openwork as ow
from openwork import prune
from openwork.prune.units.feature_maps import feature_map_units
from openwork.prune.units.layers import chosen_layers

Build = Callable[[str], nn.Module]
ALL = ("a", "b", "grouped", "wide", "last", "depthwise")
KINDS = ("plain", "residual", "concatenating", "depthwise")


def _plan(model: nn.Module, example: torch.Tensor, ratio: float = 0.5, **more: object) -> ow.Plan:
    return prune.by_criterion(
        model,
        "l1",
        granularity="feature_map",
        ratio=ratio,
        example=example,
        progress=False,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_sparse_network_is_the_masked_dense_one(
    kind: str, network: Build, example: torch.Tensor, masked: Callable[..., nn.Module]
) -> None:
    model = network(kind)
    plan = _plan(model, example)
    expected = masked(model, plan)(example)
    sparse = prune.apply_(model, plan)
    torch.testing.assert_close(sparse(example), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_reads_a_dead_map(
    kind: str, network: Build, example: torch.Tensor, masked: Callable[..., nn.Module]
) -> None:
    model = network(kind)
    plan = _plan(model, example)
    pruned = masked(model, plan)
    before = pruned(example)
    dead = 0
    for name, pattern in plan.resolve(model).items():
        layer = pruned.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        rows = torch.from_numpy(pattern.fan_in == 0)
        dead += int(rows.sum())
        with torch.no_grad():
            layer.weight[rows] += 1.0
            if layer.bias is not None:
                layer.bias[rows] += 10.0
    assert dead > 4
    torch.testing.assert_close(pruned(example), before, rtol=0, atol=0)


def test_past_a_flatten_the_columns_of_the_next_linear_layer_are_removed(
    network: Build, example: torch.Tensor
) -> None:
    model = network("plain")
    patterns = _plan(model, example, layers=["last"]).resolve(model)
    gone = patterns["last"].fan_in == 0
    assert gone.sum() == 5
    columns = patterns["head"].taps.reshape(5, 10, 16)
    assert not columns[:, gone].any()
    assert columns[:, ~gone].all()
    assert set(patterns) == {"last", "head"}


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.55, 0.85])
def test_each_layer_meets_the_ratio_to_half_a_map(
    ratio: float, network: Build, example: torch.Tensor
) -> None:
    model = network("concatenating")
    patterns = _plan(model, example, ratio).resolve(model)
    for name in ("a", "b", "wide", "last"):
        gone = int((patterns[name].fan_in == 0).sum())
        assert abs(gone - ratio * patterns[name].out_channels) <= 0.5


def test_added_maps_are_removed_together(network: Build, example: torch.Tensor) -> None:
    model = network("residual")
    patterns = _plan(model, example).resolve(model)
    assert (patterns["a"].fan_in == 0).sum() == 4
    # `b` reads what `a` produces, and its maps are added to and multiplied with those of `a`.
    assert ((patterns["a"].fan_in == 0) == (patterns["b"].fan_in == 0)).all()
    assert (patterns["b"].fan_out[patterns["a"].fan_in == 0] == 0).all()


def test_depthwise_layers_pass_a_map_on(network: Build, example: torch.Tensor) -> None:
    model = network("depthwise")
    patterns = _plan(model, example, layers=["a"]).resolve(model)
    gone = patterns["a"].fan_in == 0
    assert gone.sum() == 4
    assert ((patterns["depthwise"].fan_in == 0) == gone).all()
    assert ((patterns["grouped"].fan_out == 0) == gone).all()


def test_what_is_tied_to_a_layer_that_is_not_chosen_is_left_whole(
    network: Build, example: torch.Tensor
) -> None:
    model = network("residual")
    chosen = chosen_layers(model, ["b", "last"])
    units = feature_map_units(model, chosen, example)
    assert units.notes == ("left whole: b: its maps are tied to those of a, not among `layers`",)
    patterns = _plan(model, example, layers=["b", "last"]).resolve(model)
    assert set(patterns) == {"last", "head"}


def test_outputs_cannot_be_removed(network: Build, example: torch.Tensor) -> None:
    with pytest.raises(ow.ArgumentError, match="head: its map is what the network returns"):
        _plan(network("plain"), example, layers="head")


def test_the_parts_of_a_concatenation_are_cut_separately(
    network: Build, example: torch.Tensor
) -> None:
    model = network("concatenating")
    patterns = _plan(model, example).resolve(model)
    gone = [*(patterns["b"].fan_in == 0), *(patterns["a"].fan_in == 0)]
    assert ((patterns["wide"].fan_out == 0) == gone).all()


def test_a_second_cut_counts_what_is_left(network: Build, example: torch.Tensor) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, example))
    plan = _plan(model, example)
    patterns = {name: layer.pattern for name, layer in _sparse(prune.apply_(model, plan)).items()}
    assert (patterns["a"].fan_in > 0).sum() == 2
    assert (patterns["last"].fan_in > 0).sum() == 2


def _sparse(model: nn.Module) -> dict[str, ow.SparseConv2d]:
    return {n: m for n, m in model.named_modules() if isinstance(m, ow.SparseConv2d)}


def test_a_layer_called_twice_is_cut_only_where_both_calls_agree(example: torch.Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 1)
            self.both = nn.Conv2d(6, 6, 3, padding=1)
            self.last = nn.Conv2d(6, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.both(self.both(self.stem(x)))).mean((2, 3))

    model = Twice().eval()
    # `both` reads its own output, so its maps are tied to those of the stem.
    with pytest.raises(ow.ArgumentError, match="tied to those of stem"):
        _plan(model, example, layers="both")
    patterns = _plan(model, example, layers=["stem", "both"]).resolve(model)
    gone = patterns["stem"].fan_in == 0
    assert gone.sum() == 3
    assert (patterns["both"].fan_in == 0).tolist() == gone.tolist()
    assert (patterns["last"].fan_out == 0).tolist() == gone.tolist()


def test_shuffled_channels_are_followed(example: torch.Tensor) -> None:
    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 1)
            self.last = nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            n, _, h, w = x.shape
            x = x.reshape(n, 2, 4, h, w).transpose(1, 2).reshape(n, 8, h, w)
            return self.last(x).mean((2, 3))

    model = Shuffled().eval()
    patterns = _plan(model, example, layers="stem").resolve(model)
    order = torch.arange(8).reshape(2, 4).T.flatten().numpy()
    gone = patterns["stem"].fan_in == 0
    assert ((patterns["last"].fan_out == 0) == gone[order]).all()


@pytest.mark.parametrize(
    ("mixes", "reason"),
    [
        (lambda x: torch.softmax(x, 1), "goes through softmax"),
        (lambda x: torch.nn.functional.group_norm(x, 2), "goes through group_norm"),
        (
            lambda x: x.mean(1, keepdim=True).expand(-1, 6, -1, -1),
            "all its maps depend on each other",
        ),
    ],
    ids=["softmax", "group_norm", "mean"],
)
def test_maps_that_are_mixed_are_kept(
    mixes: Callable[[torch.Tensor], torch.Tensor], reason: str, example: torch.Tensor
) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 1)
            self.last = nn.Conv2d(6, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(mixes(self.stem(x))).mean((2, 3))

    with pytest.raises(ow.ArgumentError, match=reason):
        _plan(Mixed().eval(), example, layers="stem")


def test_one_map_that_gates_all_others_is_kept_and_they_may_be_cut(example: torch.Tensor) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 1)
            self.gate = nn.Conv2d(6, 1, 1)
            self.last = nn.Conv2d(6, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.last(x * torch.sigmoid(self.gate(x))).mean((2, 3))

    model = Attention().eval()
    units = feature_map_units(model, chosen_layers(model, ["stem", "gate"]), example)
    assert units.notes == ("left whole: gate: its map is read by mul in a way that cannot be cut",)
    assert [group.count for group in units.groups] == [6]


def test_an_untraceable_network_is_told_to_cut_kernels(example: torch.Tensor) -> None:
    class Untraceable(nn.Sequential):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if float(input.sum()) > 0:
                return super().forward(input)
            return super().forward(-input)

    model = Untraceable(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    with pytest.raises(ow.CaptureError, match=r"`granularity`='kernel'"):
        _plan(model, example)
    assert prune.by_criterion(model, ratio=0.5, progress=False).resolve(model)["1"].live == 8


def test_an_example_is_required_where_none_is_known(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match="pass an input batch"):
        prune.by_criterion(network("plain"), granularity="feature_map", ratio=0.5)


@pytest.mark.parametrize("kind", ["plain", "depthwise"])
def test_compact_takes_out_the_maps_that_were_removed(
    kind: str, network: Build, example: torch.Tensor
) -> None:
    model = network(kind)
    prune.apply_(model, _plan(model, example, layers=["a", "last"]))
    small, _ = ow.compact(model, example)
    layers = {"a": 4, "last": 5, **({"depthwise": 4} if kind == "depthwise" else {})}
    assert {name: small.get_submodule(name).out_channels for name in layers} == layers
    torch.testing.assert_close(small(example), model(example), rtol=1e-4, atol=1e-5)


def test_for_a_depthwise_layer_alone_the_error_names_who_produces_its_maps(
    network: Build, example: torch.Tensor
) -> None:
    message = "depthwise, and its maps are removed with those of a"
    with pytest.raises(ow.ArgumentError, match=message):
        _plan(network("depthwise"), example, layers="depthwise")


def test_maps_that_compact_cannot_take_out_alone_are_noted(
    network: Build, example: torch.Tensor
) -> None:
    model = network("plain")
    units = feature_map_units(model, chosen_layers(model, ["a", "b", "grouped"]), example)
    (note,) = units.notes
    assert note.startswith(
        "removed maps of b, grouped: `compact` removes the same number from each"
    )
