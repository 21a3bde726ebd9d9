"""`save`, `load` and `info`: a loaded model is the one that was saved."""

import copy
import functools
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parts import part, tensor
from torch import nn

from openwork import _version, compact
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import checkpoint, container, info, load, save
from openwork.models import ModelSource, build, source_of
from openwork.nn import Plan, SparseConv2d, SparseLayer, SparseLinear, densify_, grow_, sparsify_
from openwork.nn.layers import sparse_layers
from openwork.patterns import Pattern, block

HALF = Plan({"*": {"pattern": "random", "density": 0.5}})


def _dense() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, (3, 1), groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(8 * 4 * 6, 5),
    )


def _taps(*shape: int, groups: int = 1) -> Pattern:
    return Pattern(np.random.default_rng(0).random(shape) < 0.4, groups)


PLANS = {
    "dense": None,
    "random": HALF,
    "block": Plan({"0": {"pattern": "block", "density": 0.5, "b_out": 4}, "5": "dense"}),
    "block drawn": Plan({"0": block(8, 4, 3, density=0.25, b_out=2, b_in=2)}),
    "taps": Plan({"0": _taps(8, 4, 3, 3), "3": _taps(8, 4, 3, 1, groups=2), "5": _taps(5, 192)}),
    "wide gaps": Plan({"5": Pattern(np.eye(5, 192, k=187, dtype=bool))}),
}


def _trained(plan: Plan | None) -> nn.Sequential:
    """A model whose weights, running statistics and counters are all off their start."""
    torch.manual_seed(1)
    model = _dense()
    if plan is not None:
        sparsify_(model, plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4, 6, 6)).square().mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    return model


def _equal_states(one: nn.Module, two: nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype and torch.equal(left[n], right[n]) for n in left
    )


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_a_model_of_ones_own_comes_back_bit_for_bit(plan: Plan | None, tmp_path: Path) -> None:
    model = _trained(plan)
    save(model, tmp_path / "m", plan=plan)
    back = load(tmp_path / "m", _dense)
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert _equal_states(back, model)
    assert part(back, 1, nn.BatchNorm2d).num_batches_tracked == 3
    input = torch.randn(3, 4, 6, 6)
    assert torch.equal(back(input), model(input))
    assert torch.equal(back.eval()(input), model.eval()(input))
    for name in (0, 3, 5):
        if isinstance(layer := model[name], SparseLayer):
            assert part(back, name, SparseLayer).pattern == layer.pattern
    assert info(tmp_path / "m").plan == plan


@pytest.mark.parametrize("name", ["mlp:192-20-10", "mnist_3conv"])
def test_a_model_by_name_needs_no_build_function(name: str, tmp_path: Path) -> None:
    size = 8 if name.startswith("mlp") else 32
    model = sparsify_(build(name, image_size=size, depth_multiplier=0.5), HALF).eval()
    save(model, tmp_path / "m", plan=HALF, metrics={"accuracy": 0.5})
    back = load(tmp_path / "m").eval()
    assert source_of(back) == source_of(model)
    input = torch.randn(2, 3, size, size)
    assert torch.equal(back(input), model(input))


def test_a_loaded_model_trains_on_as_the_saved_one(tmp_path: Path) -> None:
    model = _trained(HALF)
    save(model, tmp_path / "m")
    input = torch.randn(4, 4, 6, 6)
    for network in (model, back := load(tmp_path / "m", _dense)):
        optimizer = torch.optim.Adam(network.parameters())
        network(input).square().sum().backward()
        optimizer.step()
    assert _equal_states(back, model)


@pytest.mark.parametrize("plan", [None, Plan({"0": {"pattern": "random", "density": 0.5}})])
def test_tied_weights_stay_tied_and_are_stored_once(plan: Plan | None, tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(200, 200), nn.Linear(200, 200))
        model[2].weight = model[1].weight
        return model

    model = tied()
    if plan is not None:
        sparsify_(model, plan)
    save(model, tmp_path / "m")
    back = load(tmp_path / "m", tied)
    assert back.get_submodule("2").weight is back.get_submodule("1").weight
    assert _equal_states(back, model)
    assert (tmp_path / "m").stat().st_size < 1.2 * 200 * 200 * 4


def test_a_shared_sparse_layer_stays_shared(tmp_path: Path) -> None:
    def shared() -> nn.Sequential:
        layer = nn.Linear(6, 6)
        return nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer))

    model = sparsify_(shared(), HALF)
    save(model, tmp_path / "m")
    back = load(tmp_path / "m", shared)
    assert part(back, "2.0", SparseLinear) is back.get_submodule("0")
    assert _equal_states(back, model)


def test_a_single_sparse_layer_comes_back(tmp_path: Path) -> None:
    layer = SparseLinear(_taps(5, 7))
    save(layer, tmp_path / "m")
    for make in (lambda: nn.Linear(7, 5), lambda: SparseLinear(_taps(5, 7))):
        back = load(tmp_path / "m", make)
        assert isinstance(back, SparseLinear)
        assert _equal_states(back, layer)


def test_a_build_function_may_make_the_model_sparse_itself(tmp_path: Path) -> None:
    model = _trained(HALF)
    save(model, tmp_path / "m")
    assert _equal_states(load(tmp_path / "m", lambda: sparsify_(_dense(), HALF)), model)
    other = Plan({"*": {"pattern": "random", "density": 0.3}}, seed=1)
    assert _equal_states(load(tmp_path / "m", lambda: sparsify_(_dense(), other)), model)


def _denser(model: nn.Module) -> nn.Module:
    densify_(model)
    return sparsify_(model, Plan({"conv:*": {"pattern": "random", "density": 0.8}}))


def _grown(model: nn.Module) -> nn.Module:
    whole = [name for name, layer in sparse_layers(model).items() if layer.pattern.whole]
    return grow_(model, dict.fromkeys(whole, 1.0))


def _smaller(model: nn.Module) -> nn.Module:
    norm = next(m for m in list(model.modules())[5:] if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        norm.weight[:4], norm.bias[:4] = 0, 0
    return compact(model.eval(), torch.randn(2, 1, 32, 32))[0]


@pytest.mark.parametrize("change", [densify_, _denser, _grown, _smaller])
def test_what_became_of_a_network_that_is_built_sparse_comes_back(
    change: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    built = build("ssc:mobilenet:0.5", in_channels=1, depth_multiplier=0.25)
    shapes = [value.shape for value in built.state_dict().values()]
    model = change(built)
    assert [value.shape for value in model.state_dict().values()] != shapes
    save(model, tmp_path / "m")
    back = load(tmp_path / "m")
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert _equal_states(back, model)
    for one, two in zip(sparse_layers(back).values(), sparse_layers(model).values(), strict=True):
        assert (one.pattern, one.origin) == (two.pattern, two.origin)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_type_of_the_numbers_stays(dtype: torch.dtype, tmp_path: Path) -> None:
    model = _trained(HALF).to(dtype)
    save(model, tmp_path / "m")
    back = load(tmp_path / "m", _dense)
    assert part(back, 0, SparseConv2d).weight.dtype == dtype
    assert _equal_states(back, model)
    input = torch.randn(2, 4, 6, 6, dtype=dtype)
    assert torch.equal(back.eval()(input), model.eval()(input))


def test_buffers_of_ones_own_are_kept(tmp_path: Path) -> None:
    def buffered() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3))
        model.register_buffer("whole", torch.zeros(6))
        model.register_buffer("part", tensor(model, "whole")[:3])
        model.register_buffer("mask", torch.zeros(2, dtype=torch.bool))
        return model

    model = buffered()
    tensor(model, "whole").copy_(torch.arange(6))
    tensor(model, "mask")[1] = True
    save(model, tmp_path / "m")
    back = load(tmp_path / "m", buffered)
    assert _equal_states(back, model)
    assert tensor(back, "part").tolist() == [0, 1, 2]


class _Scaled(nn.Sequential):
    """Keeps numbers of its channels, and others, out of its state."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
        self.register_buffer("scale", torch.linspace(1, 2, 8).view(1, 8, 1, 1), persistent=False)
        self.register_buffer("shift", torch.ones(3), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self[3](self[2](self[1](self[0](input))) * self.scale) + self.shift.sum()


def test_channels_of_buffers_outside_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = _Scaled().eval(), torch.rand(2, 3, 12, 12)
    nn.init.zeros_(part(model, 1, nn.BatchNorm2d).weight[:3])
    small, _ = compact(model, x)
    assert tensor(small, "scale").numel() == 5
    for _ in range(2):
        save(small, tmp_path / "m")
        back = load(tmp_path / "m", _Scaled).eval()
        assert torch.equal(back(x), small(x))
        small = back
    # As files were written that did not have them.
    monkeypatch.setattr(checkpoint, "unsaved_buffers", lambda model: {})
    save(small, tmp_path / "m")
    with pytest.raises(CheckpointError, match="buffer 'scale' of a _Scaled had channels"):
        load(tmp_path / "m", _Scaled)


def test_info_tells_what_was_noted_down(tmp_path: Path) -> None:
    model = sparsify_(build("mlp:12-6-4", image_size=2, num_classes=4), HALF)
    metrics = {"accuracy": 0.25, "epoch": 3, "data": "mnist", "none": None}
    save(model, tmp_path / "m", plan=HALF, metrics=metrics)
    told = info(tmp_path / "m")
    assert told.source == ModelSource("mlp:12-6-4", num_classes=4, image_size=2)
    assert told.plan == HALF
    assert told.metrics == metrics
    assert told.version == _version.__version__
    save(nn.Linear(2, 2), tmp_path / "own")
    told = info(tmp_path / "own")
    assert (told.source, told.plan, told.metrics) == (None, None, {})


def test_the_file_shrinks_with_the_density(tmp_path: Path) -> None:
    def dense() -> nn.Sequential:
        return nn.Sequential(*(nn.Conv2d(128, 128, 3) for _ in range(3)))

    save(dense(), tmp_path / "dense")
    model = sparsify_(dense(), Plan({"*": {"pattern": "random", "density": 0.1}}))
    save(model, tmp_path / "sparse")
    density = part(model, 0, SparseConv2d).pattern.density
    assert 0.09 < density < 0.11
    full, thin = ((tmp_path / name).stat().st_size for name in ("dense", "sparse"))
    # Indices may cost 2 % of the dense file; names, biases and digests a few kB on top.
    assert density * full < thin < (density + 0.02) * full + 4096


def test_saving_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model = _trained(HALF)
    before = copy.deepcopy(model)
    save(model, tmp_path / "m")
    assert _equal_states(model, before)
    assert model[0].pattern == before[0].pattern


def test_loading_never_unpickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(sparsify_(build("mlp:12-6-4", image_size=2, num_classes=4), HALF), tmp_path / "m")

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("something was unpickled")

    for owner, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
        (torch.serialization, "load"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    assert isinstance(load(tmp_path / "m").get_submodule("1"), SparseLinear)
    assert info(tmp_path / "m").source is not None
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
    for read in (load, info):
        with pytest.raises(
            CheckpointError, match=r"is a file of torch.save, not a file of openwork"
        ):
            read(tmp_path / "pickled.pt")


def _without_a_layer() -> nn.Module:
    return _dense()[:5]


def _with_other_shapes() -> nn.Module:
    model = _dense()
    model[0] = nn.Conv2d(4, 8, 5, padding=2)
    return model


def _with_another_kind() -> nn.Module:
    model = _dense()
    model[0] = nn.BatchNorm2d(8)
    return model


def _with_a_linear_layer() -> nn.Module:
    model = _dense()
    model[0] = nn.Linear(4, 8)
    return model


def _with_one_more() -> nn.Module:
    return _dense().append(nn.Linear(5, 5))


def _without_bias() -> nn.Module:
    model = _dense()
    model[0] = nn.Conv2d(4, 8, 3, padding=1, bias=False)
    return model


@pytest.mark.parametrize("plan", [None, HALF], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "make",
    [
        _without_a_layer,
        _with_other_shapes,
        _with_another_kind,
        _with_a_linear_layer,
        _with_one_more,
        _without_bias,
    ],
)
def test_a_build_function_of_another_model_is_refused(
    make: Callable[[], nn.Module], plan: Plan | None, tmp_path: Path
) -> None:
    save(_trained(plan), tmp_path / "m")
    with pytest.raises(CheckpointError, match="does not fit the model that was built for it"):
        load(tmp_path / "m", make)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    save(_trained(HALF), tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"layer '5' must be a convolution .* found nothing"):
        load(tmp_path / "m", _without_a_layer)
    with pytest.raises(CheckpointError, match=r"layer '0' must be .* found BatchNorm2d"):
        load(tmp_path / "m", _with_another_kind)


def test_a_model_of_ones_own_asks_for_its_build_function(tmp_path: Path) -> None:
    save(_dense(), tmp_path / "m")
    with pytest.raises(CheckpointError, match="pass `build`"):
        load(tmp_path / "m")


def test_the_state_of_a_run_is_no_model(tmp_path: Path) -> None:
    container.write(tmp_path / "state", {}, {"kind": "run"})
    for read in (load, info):
        with pytest.raises(CheckpointError, match="holds the state of a run, not a model"):
            read(tmp_path / "state")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    save(_trained(HALF), tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        load(bad, _dense)
    edited = bytearray(whole)
    edited[-1] ^= 1
    bad.write_bytes(edited)
    with pytest.raises(CheckpointError, match="has been changed"):
        load(bad, _dense)
    bad.write_bytes(whole.replace(b"metrics", b"metricz"))
    for read in (info, load):
        with pytest.raises(CheckpointError, match="has been changed"):
            read(bad)


class _Talkative(nn.Linear):
    def get_extra_state(self) -> dict[str, Any]:
        return {"mood": "fine"}

    def set_extra_state(self, state: Any) -> None:
        pass


def test_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(_Talkative(2, 2))
    with pytest.raises(ArgumentError, match=r"keeps '0._extra_state' of type dict"):
        save(model, tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"`metrics`=.*plain numbers and strings"):
        save(nn.Linear(2, 2), tmp_path / "m", metrics={"loss": torch.tensor(1.0)})
    assert list(tmp_path.iterdir()) == []


def _forge(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]) -> None:
    """A file with a valid digest that no `save` would write."""
    tensors, header = container.read(path)
    change(tensors, header)
    container.write(path, tensors, header)


def _beyond(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["0.gaps"] = tensors["0.gaps"].int()
    tensors["0.gaps"][-1] = 1000


def _backwards(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["0.gaps"] = tensors["0.gaps"].int()
    tensors["0.gaps"][3] = -1


def _repeated(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["0.gaps"][3] = 0


def _fractional(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["0.gaps"] = tensors["0.gaps"].float()


def _fewer(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    tensors["0.gaps"] = tensors["0.gaps"][:-1]


def _no_gaps(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    del tensors["0.gaps"]


def _other_groups(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    header["layers"]["0"]["groups"] = 3


def _no_such_alias(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    header["aliases"]["0.weight"] = "nowhere"


@pytest.mark.parametrize(
    "change",
    [
        _beyond,
        _backwards,
        _repeated,
        _fractional,
        _fewer,
        _no_gaps,
        _other_groups,
        _no_such_alias,
    ],
)
def test_a_forged_file_is_refused(
    change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None], tmp_path: Path
) -> None:
    save(_trained(HALF), tmp_path / "m")
    _forge(tmp_path / "m", change)
    with pytest.raises(CheckpointError, match="does not fit the model"):
        load(tmp_path / "m", _dense)


@pytest.mark.parametrize(
    "place",
    [
        "kind",
        "model",
        "model.name",
        "model.depth_multiplier",
        "resized",
        "resized.1",
        "resized.1.shapes",
        "resized.1.groups",
        "layers",
        "layers.1",
        "layers.1.shape",
        "layers.1.groups",
        "layers.1.origin",
        "layers.1.origin.spec",
        "layers.1.origin.seed",
        "aliases",
        "plan",
        "plan.layers",
    ],
)
def test_a_header_of_other_values_loads_or_is_refused(place: str, tmp_path: Path) -> None:
    model = sparsify_(build("mlp:12-6-4", image_size=2, num_classes=4), HALF)
    raw: list[Any] = []
    for wrong in (None, "x", 7, -1, 1e308, float("nan"), [], {}, ["a", None], {"a": 1}):
        save(model, tmp_path / "m", plan=HALF)
        _forge(tmp_path / "m", functools.partial(_put, place, wrong))
        for read in (load, info):
            try:
                read(tmp_path / "m")
            except CheckpointError:
                continue
            except Exception as error:
                raw.append((wrong, error))
    assert raw == []


def _put(place: str, value: Any, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    header["resized"] = {"1": {"shapes": {"weight": [6, 12], "bias": [6]}, "groups": None}}
    *path, last = place.split(".")
    functools.reduce(dict.__getitem__, path, header)[last] = value


def test_a_header_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    container.write(tmp_path / "m", {}, [1])  # type: ignore[arg-type]
    for read in (load, info):
        with pytest.raises(CheckpointError, match="is damaged"):
            read(tmp_path / "m")


def test_no_more_is_built_than_the_file_can_fill(tmp_path: Path) -> None:
    save(build("mlp:12-6-4", image_size=2, num_classes=4), tmp_path / "m")

    def widen(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        header["model"]["depth_multiplier"] = 1e7

    _forge(tmp_path / "m", widen)
    with pytest.raises(CheckpointError, match=r"shape \(60000000, 12\) is larger than all"):
        load(tmp_path / "m")


def test_a_resized_layer_is_no_larger_than_the_file(tmp_path: Path) -> None:
    save(build("mlp:12-6-4", image_size=2, num_classes=4), tmp_path / "m")

    def widen(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        header["resized"] = {"1": {"shapes": {"weight": [10**4, 10**5]}, "groups": None}}

    _forge(tmp_path / "m", widen)
    with pytest.raises(CheckpointError, match="is larger than all"):
        load(tmp_path / "m")


def test_a_build_function_is_called_once_and_its_errors_are_its_own(tmp_path: Path) -> None:
    save(_dense(), tmp_path / "m")
    calls: list[nn.Module] = []

    def failing() -> nn.Module:
        calls.append(_dense())
        raise LookupError("of the caller")

    with pytest.raises(LookupError, match="of the caller"):
        load(tmp_path / "m", failing)
    assert len(calls) == 1


def test_a_full_disk_leaves_the_earlier_model_loadable(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    model = _trained(HALF)
    save(model, tmp_path / "m")
    with full_disk(10_000), pytest.raises(CheckpointError, match="Free some space"):
        save(nn.Linear(100, 100), tmp_path / "m")
    assert _equal_states(load(tmp_path / "m", _dense), model)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_unwritable_folder_is_refused(unwritable_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="Choose a folder that you may write to"):
        save(_dense(), unwritable_folder / "m")
