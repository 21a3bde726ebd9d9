"""`compact`: dead channels are removed, outputs are kept, and so is all that code relies on."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from parts import known, part, tensor
from torch import nn
from torch.nn.utils import parametrizations, prune

from openwork import models
from openwork.compact import compact
from openwork.errors import ArgumentError, CaptureError, VerificationError
from openwork.io import load, save
from openwork.nn import Plan, SparseConv2d, sparsify_

EXAMPLE = torch.rand(2, 3, 12, 12)


def _plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.Flatten(),
        nn.Linear(4 * 144, 5),
    )


def _same(one: nn.Module, two: nn.Module, example: torch.Tensor = EXAMPLE) -> bool:
    with torch.no_grad():
        return torch.allclose(one.eval()(example), two.eval()(example), rtol=0, atol=1e-5)


@torch.no_grad()
def _kill(norm: nn.BatchNorm2d, channels: list[int], shift: float = 0.0) -> None:
    norm.weight[channels], norm.bias[channels] = 0, shift


def test_dead_channels_are_removed_and_the_report_says_why() -> None:
    model = _plain()
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2])
    _kill(part(model, 4, nn.BatchNorm2d), [5], shift=0.5)
    with torch.no_grad():
        model.get_parameter("3.weight")[:, 3] = 0
    before = copy.deepcopy(model.state_dict())
    small, report = compact(model, EXAMPLE)
    assert (
        part(small, 0, nn.Conv2d).out_channels
        == part(small, 1, nn.BatchNorm2d).num_features
        == part(small, 3, nn.Conv2d).in_channels
        == 4
    )
    assert (
        part(small, 3, nn.Conv2d).out_channels
        == part(small, 4, nn.BatchNorm2d).num_features
        == part(small, 6, nn.Conv2d).in_channels
        == 5
    )
    assert _same(model, small)
    assert report.layers.rows == (
        ("0", "3 -> 3", "8 -> 4", 3, 0, 1),
        ("3", "8 -> 4", "6 -> 5", 0, 1, 0),
        ("6", "6 -> 5", "4 -> 4", 0, 0, 0),
    )
    assert report.relative < 1e-6
    assert {case.what for case in report.cases} >= {"given", "random", "another batch size"}
    after = sum(p.numel() for p in small.parameters())
    assert report.parameters == (sum(p.numel() for p in model.parameters()), after)
    assert "parameters: " in str(report)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_nothing_dead_nothing_changed() -> None:
    model = _plain().train()
    model[1].eval()
    small, report = compact(model, EXAMPLE)
    assert small is not model
    assert [type(m) for m in small.modules()] == [type(m) for m in model.modules()]
    assert [m.training for m in small.modules()] == [m.training for m in model.modules()]
    assert all(
        torch.equal(a, b) for a, b in zip(small.parameters(), model.parameters(), strict=True)
    )
    assert report.layers.rows == ()
    assert report.absolute == 0


def test_one_channel_absorbs_constants_at_padded_borders() -> None:
    model = _plain()[:7]
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2, 3], shift=0.7)
    small, report = compact(model, EXAMPLE)
    assert part(small, 0, nn.Conv2d).out_channels == 5
    for size in (5, 12, 31):
        assert _same(model, small, torch.rand(1, 3, size, size))
    assert "1 dead channels are kept" in str(report)


def test_a_constant_without_bias_or_norm_after_it_makes_a_bias() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False)
    )
    _kill(part(model, 1, nn.BatchNorm2d), [1, 2], shift=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    small, _ = compact(model, EXAMPLE, optimizer=optimizer)
    assert part(small, 3, nn.Conv2d).bias is not None
    assert _same(model, small)
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {
        id(p) for p in small.parameters()
    }


def test_a_constant_before_a_batch_norm_moves_its_mean() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, bias=False),
        nn.BatchNorm2d(4),
    )
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2], shift=0.8)
    small, _ = compact(model, EXAMPLE)
    assert part(small, 0, nn.Conv2d).out_channels == 5
    assert part(small, 3, nn.Conv2d).bias is None
    assert not torch.equal(small.get_buffer("4.running_mean"), model.get_buffer("4.running_mean"))
    assert _same(model, small)
    # In training both subtract the batch's own mean, and the constant with it.
    torch.testing.assert_close(small.train()(EXAMPLE), model.train()(EXAMPLE), rtol=0, atol=1e-5)


def test_no_layer_loses_its_last_channel() -> None:
    model = _plain()
    for norm in (part(model, 1, nn.BatchNorm2d), part(model, 4, nn.BatchNorm2d)):
        _kill(norm, list(range(norm.num_features)))
    small, _ = compact(model, EXAMPLE)
    assert part(small, 0, nn.Conv2d).out_channels == part(small, 3, nn.Conv2d).out_channels == 1
    assert _same(model, small)


class Residual(nn.Module):
    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 1)
        self.conv1, self.bn1 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.act, self.head = nn.ReLU(inplace), nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        y += x
        return self.head(self.act(y))


@pytest.mark.parametrize("inplace", [True, False])
def test_a_dead_branch_is_removed_and_the_identity_is_kept(inplace: bool) -> None:
    model = Residual(inplace)
    # A norm that has not seen a batch would be one that training has yet to use.
    model(EXAMPLE)
    _kill(model.bn2, list(range(6)))
    small, report = compact(model, EXAMPLE)
    assert set(report.branches) == {"conv1", "bn1", "conv2", "bn2"}
    assert [n for n, _ in small.named_parameters()] == [
        "stem.weight",
        "stem.bias",
        "head.weight",
        "head.bias",
    ]
    assert _same(model, small)


def test_channels_of_a_sum_are_removed_together_or_not_at_all() -> None:
    model = Residual()
    _kill(model.bn2, [0, 1])
    assert part(compact(model, EXAMPLE)[0], "stem", nn.Conv2d).out_channels == 6
    with torch.no_grad():
        model.stem.weight[[0, 2]], known(model.stem.bias)[[0, 2]] = 0, 0
    small, _ = compact(model, EXAMPLE)
    assert (
        part(small, "stem", nn.Conv2d).out_channels
        == part(small, "bn2", nn.BatchNorm2d).num_features
        == part(small, "head", nn.Conv2d).in_channels
        == 5
    )
    assert _same(model, small)


def test_the_output_is_never_touched() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 1))
    with torch.no_grad():
        model.get_parameter("2.weight")[:3], model.get_parameter("2.bias")[:3] = 0, 0
    small, _ = compact(model, EXAMPLE)
    assert part(small, 2, nn.Conv2d).out_channels == 6


def test_counts_are_rounded_on_request() -> None:
    model = _plain()
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2])
    small, _ = compact(model, EXAMPLE, round_to=4)
    assert part(small, 0, nn.Conv2d).out_channels == 8
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2, 3])
    small, _ = compact(model, EXAMPLE, round_to=4)
    assert part(small, 0, nn.Conv2d).out_channels == 4
    assert _same(model, small)


def test_masks_of_torch_are_applied() -> None:
    model = _plain()
    prune.ln_structured(model[0], "weight", amount=3, n=1, dim=0)
    prune.l1_unstructured(model[6], "weight", amount=2)
    _kill(part(model, 1, nn.BatchNorm2d), [])
    with torch.no_grad():
        weight = tensor(part(model, 0, nn.Conv2d), "weight")
        model.get_buffer("1.running_mean")[weight.flatten(1).abs().sum(1) == 0] = 0
        for name in ("1.bias", "0.bias"):
            model.get_parameter(name).zero_()
    small, _ = compact(model, EXAMPLE)
    assert part(small, 0, nn.Conv2d).out_channels == 5
    assert "weight" in part(small, 0, nn.Conv2d)._parameters
    assert hasattr(model[0], "weight_orig")
    assert _same(model, small)


def test_small_scales_are_removed_on_request_and_the_change_is_reported() -> None:
    model = _plain()
    with torch.no_grad():
        model.get_parameter("1.weight")[:3], model.get_parameter("1.bias")[:3] = 1e-4, 0
    assert part(compact(model, EXAMPLE)[0], 0, nn.Conv2d).out_channels == 8
    small, report = compact(model, EXAMPLE, gamma_below=1e-3)
    assert part(small, 0, nn.Conv2d).out_channels == 5
    assert report.change is not None
    assert 0 < report.change < 1e-2
    assert model.get_parameter("1.weight")[0] == torch.tensor(1e-4)


def test_the_users_own_measure_is_applied_to_both() -> None:
    model = _plain()
    with torch.no_grad():
        model.get_parameter("1.weight")[:3], model.get_parameter("1.bias")[:3] = 1e-2, 0

    def score(network: nn.Module) -> float:
        assert not any(module.training for module in network.modules())
        with torch.no_grad():
            return network(EXAMPLE).double().square().sum().item()

    small, report = compact(model, EXAMPLE, gamma_below=0.1, evaluate=score)
    assert small.training
    assert model.training
    assert report.scores == (score(model.eval()), score(small.eval()))
    before, after = known(report.scores)
    assert before != after
    assert "evaluated: " in str(report)
    assert compact(model, EXAMPLE, gamma_below=0.1)[1].scores is None


@pytest.mark.parametrize("constant", [0.0, 0.4])
def test_patterns_of_sparse_layers_shrink(constant: float) -> None:
    model = _plain()
    sparsify_(model, Plan({"3": {"pattern": "random", "density": 0.5}, "8": {"pattern": "random"}}))
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2], shift=constant)
    _kill(part(model, 4, nn.BatchNorm2d), [1, 4], shift=constant)
    small, _ = compact(model, EXAMPLE)
    sparse = part(small, 3, SparseConv2d)
    assert sparse.shape == (4, 5 if constant == 0 else 6, 3, 3)
    assert sparse.weight.shape == (sparse.pattern.live,)
    assert _same(model, small)


@pytest.fixture
def unwritten_memory_is_nan() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)  # torch fills what it allocates in this mode
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("unwritten_memory_is_nan")
def test_a_compacted_model_is_saved_and_built_again(tmp_path: Path) -> None:
    model = _plain()
    sparsify_(model, Plan({"3": {"pattern": "random", "density": 0.5}}))
    _kill(part(model, 1, nn.BatchNorm2d), [0, 1, 2])
    small, _ = compact(model, EXAMPLE)
    save(small, tmp_path / "m")
    back = load(tmp_path / "m", _plain)
    assert str(back) == str(small)
    assert torch.equal(back.eval()(EXAMPLE), small.eval()(EXAMPLE))
    dead = Residual()
    dead(EXAMPLE)
    _kill(dead.bn2, list(range(6)))
    small, report = compact(dead, EXAMPLE)
    assert report.branches
    save(small, tmp_path / "m")
    assert torch.equal(load(tmp_path / "m", Residual).eval()(EXAMPLE), small.eval()(EXAMPLE))


def test_a_compacted_model_by_name_needs_no_build_function(tmp_path: Path) -> None:
    model = models.build("mnist_3conv", in_channels=1, image_size=16, depth_multiplier=0.25)
    conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        conv.weight[:2] = 0
    small, _ = compact(model.eval(), torch.rand(2, 1, 16, 16))
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    save(small, tmp_path / "m")
    assert _same(load(tmp_path / "m"), small, torch.rand(2, 1, 16, 16))


class Twice(nn.Module):
    """One convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.conv(F.relu(self.conv(F.relu(self.stem(x)))))))


def test_a_layer_used_twice_is_cut_for_both_uses() -> None:
    model = Twice()
    with torch.no_grad():
        model.conv.weight[:2], known(model.conv.bias)[:2] = 0, 0
    assert _same(model, compact(model, EXAMPLE)[0])
    with torch.no_grad():
        model.stem.weight[:2], known(model.stem.bias)[:2] = 0, 0
    small, _ = compact(model, EXAMPLE)
    assert (
        part(small, "conv", nn.Conv2d).in_channels
        == part(small, "conv", nn.Conv2d).out_channels
        == 4
    )
    with torch.no_grad():
        known(model.conv.bias)[:2] = 0.3
    assert _same(model, compact(model, EXAMPLE)[0])


class Fixed(nn.Module):
    """Code that hard-codes numbers of channels."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.stem, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)
        self.mid, self.after = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(4 if how == "split" else 8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        if self.how == "view":
            x = x.view(len(x), 8, -1).view(len(x), 8, 12, 12)
        if self.how == "groups":
            x = x.view(len(x), 4, 2, 12, 12).transpose(1, 2).reshape(x.shape)
        x = F.relu(self.after(self.mid(x)))
        if self.how == "split":
            x = cast(torch.Tensor, sum(torch.split(x, 4, dim=1)))
        if self.how == "narrow":
            x = torch.cat([x[:, 3:], x[:, :3]], dim=1)
        if self.how == "ones":
            x = x * torch.linspace(1, 2, 8).view(1, 8, 1, 1)
        if self.how == "wrong":
            # Runs with any number of channels, but gives other outputs.
            x = x * x.shape[1]
        return self.head(x)


@pytest.mark.parametrize("how", ["view", "groups", "split", "narrow", "ones", "wrong"])
def test_hard_coded_numbers_of_channels_are_kept(how: str) -> None:
    model = Fixed(how)
    _kill(model.norm, [0, 1, 4])
    _kill(model.after, [0, 2, 6])
    small, _ = compact(model, EXAMPLE)
    assert _same(model, small)
    if how in ("view", "groups"):
        assert (
            part(small, "stem", nn.Conv2d).out_channels,
            part(small, "mid", nn.Conv2d).out_channels,
        ) == (8, 5)
    else:
        assert (
            part(small, "stem", nn.Conv2d).out_channels,
            part(small, "mid", nn.Conv2d).out_channels,
        ) == (5, 8)


class Auxiliary(nn.Module):
    """A second head, which only training mode has."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)
        self.mid, self.after = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.head, self.second = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        y = self.norm(x) if False else self.after(self.mid(x))
        return self.head(F.relu(y)) + (self.second(y) if self.training else 0)


def test_what_only_training_reads_is_kept() -> None:
    model = Auxiliary()
    _kill(model.norm, [0, 1])
    _kill(model.after, [0, 2, 6])
    small, report = compact(model, EXAMPLE)
    assert (
        part(small, "stem", nn.Conv2d).out_channels,
        part(small, "mid", nn.Conv2d).out_channels,
    ) == (6, 8)
    assert small.train()(EXAMPLE).shape == (2, 2, 12, 12)
    assert "training mode differ" in report.training


@pytest.mark.parametrize("dead", [[0, 1, 4, 6], [0, 1, 2, 4]])
def test_groups_of_a_shuffle_stay_equal(dead: list[int]) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ChannelShuffle(2), nn.Conv2d(8, 4, 3)
    )
    _kill(part(model, 1, nn.BatchNorm2d), dead)
    small, _ = compact(model, EXAMPLE)
    # Each half loses as many channels as are dead in the half that has fewer.
    fewest = min(sum(c < 4 for c in dead), sum(c >= 4 for c in dead))
    assert part(small, 0, nn.Conv2d).out_channels == 8 - 2 * fewest
    assert _same(model, small)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Restless(nn.Module):
    """Gives other outputs at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + torch.rand_like(x)


def test_what_cannot_be_verified_is_refused() -> None:
    with pytest.raises(CaptureError, match="cannot capture Branching"):
        compact(Branching(), EXAMPLE)
    with pytest.raises(VerificationError, match="the original is unchanged"):
        compact(Restless(), EXAMPLE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"round_to": 0}, "`round_to`=0"),
        ({"gamma_below": 0}, "`gamma_below`=0"),
        ({"gamma_below": "a"}, "`gamma_below`='a'"),
        ({"tolerance": float("nan")}, "`tolerance`=nan"),
        ({"tolerance": -1}, "`tolerance`=-1"),
        ({"tolerance": "a"}, "`tolerance`='a'"),
        ({"model": None}, "`model` is a NoneType"),
        ({"model": F.relu}, "`model` is a function"),
        ({"example": None}, "`example` is a NoneType"),
        ({"example": 3}, "`example` is a int"),
        ({"inputs": None}, "`inputs` is a NoneType"),
        ({"inputs": EXAMPLE}, "`inputs` is a Tensor.* list"),
        ({"inputs": [EXAMPLE, 1]}, r"`inputs\[1\]` is a int"),
        ({"inputs": ["a"]}, r"`inputs\[0\]` is a str, 'a', but must"),
        ({"inputs": [EXAMPLE, (EXAMPLE, torch.ones(2))]}, r"`inputs\[1\]` .*TypeError"),
        ({"inputs": [EXAMPLE.double()]}, r"`inputs\[0\]` .*float64.*RuntimeError"),
        ({"optimizer": "adam"}, "`optimizer`='adam'"),
        (
            {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters())},
            "does not hold a single parameter",
        ),
        ({"ema": 1}, "`ema` is a int"),
        ({"ema": nn.Linear(2, 2)}, "`ema` is a Linear"),
        ({"evaluate": lambda model: None}, "`evaluate` gives None"),
    ],
)
def test_bad_arguments_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        compact(**{"model": _plain(), "example": EXAMPLE, **changed})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_is_told_to_convert(dtype: torch.dtype) -> None:
    with pytest.raises(CaptureError, match=f"parameters are {dtype}.*float\\(\\)"):
        compact(_plain().to(dtype), EXAMPLE)


def test_the_default_precision_changes_no_comparison() -> None:
    model = _plain()[:7]
    expected = [case.what for case in compact(model, EXAMPLE)[1].cases]
    torch.set_default_dtype(torch.float64)
    try:
        found = [case.what for case in compact(model, EXAMPLE)[1].cases]
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == expected


def test_layers_that_are_not_understood_are_named() -> None:
    model = _plain()
    parametrizations.weight_norm(model[0])
    report = str(compact(model, EXAMPLE)[1])
    assert "'0': its weight is re-parametrised by _WeightNorm of torch.nn.utils" in report
    assert "counted in convolutions and linear layers" in report
    assert "stay as they are" not in str(compact(_plain(), EXAMPLE)[1])


def test_dead_channels_of_volumes_are_cut() -> None:
    model = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1),
        nn.InstanceNorm3d(8, affine=True, track_running_stats=True),
        nn.LeakyReLU(),
        nn.MaxPool3d(2),
        nn.ConvTranspose3d(8, 6, 2, 2),
        nn.ReLU(),
        nn.Conv3d(6, 2, (1, 3, 3)),
    ).eval()
    for name in ("1.weight", "1.bias"):
        model.get_parameter(name).data[[1, 4]] = 0
    model.get_parameter("6.weight").data[:, 3] = 0
    x = torch.randn(2, 1, 4, 6, 6)
    small, report = compact(model, x)
    assert (
        part(small, 0, nn.Conv3d).out_channels
        == part(small, 1, nn.InstanceNorm3d).num_features
        == 6
    )
    assert part(small, 4, nn.ConvTranspose3d).out_channels == 5
    assert part(small, 6, nn.Conv3d).weight.shape == (2, 5, 1, 3, 3)
    torch.testing.assert_close(small(x), model(x))
    assert "stay as they are" not in str(report)


def test_channels_stay_last_in_memory() -> None:
    # torch declares no `to` that takes a memory format alone.
    model = cast(Any, _plain()).to(memory_format=torch.channels_last)
    _kill(model[1], [0, 1, 2], shift=0.5)
    _kill(model[4], [0])
    small, _ = compact(model, EXAMPLE)
    assert small.get_parameter("3.weight").shape == (5, 6, 3, 3)
    for layer in (0, 3, 6):
        weight = small.get_parameter(f"{layer}.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("dead", [[0, 1], list(range(6))], ids=["some", "branch"])
def test_the_smaller_network_can_be_scripted_and_exported(dead: list[int]) -> None:
    model = _Branched().eval()
    _kill(model.norm, dead)
    small, report = compact(model, EXAMPLE)
    assert report.parameters[1] < report.parameters[0]
    with torch.no_grad():
        expected = model(EXAMPLE)
        for other in (torch.jit.script(small), torch.export.export(small, (EXAMPLE,)).module()):
            assert torch.allclose(other(EXAMPLE), expected, rtol=0, atol=1e-5)


class _Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.one = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.norm, self.two = nn.BatchNorm2d(6), nn.Conv2d(6, 8, 1, bias=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.two(F.relu(self.norm(self.one(x))))
        return self.head(x.mean((2, 3)))


class _MakesALayer(nn.Module):
    """Makes its second layer when it first runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "second"):
            self.second = nn.Conv2d(4, 2, 3)
        return self.second(self.first(x))


def test_layers_that_are_made_when_the_network_first_runs_are_asked_for() -> None:
    model, x = _MakesALayer().eval(), torch.randn(2, 3, 8, 8)
    with pytest.raises(CaptureError, match=r"makes second.bias, second.weight when it first runs"):
        compact(model, x)
    assert not hasattr(model, "second")
    model(x)
    torch.testing.assert_close(compact(model, x)[0](x), model(x))
