"""Through torch.compile every result is right, and what is left to others has a reason."""

import logging
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.engine.dynamo.backend import backend
from openwork.errors import ArgumentError

EAGER = {"fallback": "eager"}


@pytest.fixture(autouse=True)
def fresh(caplog: pytest.LogCaptureFixture) -> None:
    torch.compiler.reset()
    caplog.set_level(logging.INFO, "openwork.torch_compile")


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    ).eval()


def _compiled(model: nn.Module, **options: Any) -> Any:
    return torch.compile(model, backend=backend, options={**EAGER, **options})


@torch.no_grad()
def _check(fast: Any, model: nn.Module, *inputs: torch.Tensor) -> None:
    torch.testing.assert_close(fast(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)


def test_torch_finds_it_by_its_name() -> None:
    group = "torch_dynamo_backends"
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    place = project["entry-points"][group]["openwork"]
    assert EntryPoint("openwork", place, group).load() is backend


def test_batches_and_sizes_of_all_kinds_give_what_the_network_gives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = ow.sparsify_(_network(), ow.Plan({"3": {"pattern": "random", "density": 0.5}})).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fast = _compiled(model)
    for shape in ((2, 3, 8, 8), (5, 3, 8, 8), (1, 3, 8, 8), (5, 3, 9, 12), (3, 3, 12, 9)):
        _check(fast, model, torch.randn(shape))
    _check(fast, model, torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last))
    assert caplog.messages == []
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


class Shuffle(nn.Module):
    """Mixes channels as ShuffleNet does: torch.compile makes a first batch of one a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return self.last(x.view(batch, channels, height, width))


def test_one_image_first_and_more_later(caplog: pytest.LogCaptureFixture) -> None:
    model = Shuffle().eval()
    fast = _compiled(model)
    for batch in (1, 2, 3, 1):
        _check(fast, model, torch.randn(batch, 3, 8, 8))
    assert caplog.messages == []


def _fused_step(model: nn.Sequential, x: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    model.train()(x).square().mean().backward()
    optimizer.step()
    model.eval()


def _statistics(model: nn.Sequential, x: torch.Tensor) -> None:
    model.train()(3 * x)
    model.eval()


def _average(model: nn.Sequential, x: torch.Tensor) -> None:
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data * 0.5)


def _through_numpy(model: nn.Sequential, x: torch.Tensor) -> None:
    model[0].get_parameter("weight").detach().numpy()[...] *= 2


@pytest.mark.parametrize("change", [_fused_step, _statistics, _average, _through_numpy])
def test_writes_that_torch_does_not_count_are_seen(
    change: Callable[[nn.Sequential, torch.Tensor], None],
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    x = torch.randn(4, 3, 12, 12)
    fast = _compiled(model.eval())
    _check(fast, model, x)
    with torch.no_grad():
        before = model(x)
    change(model, x)
    with torch.no_grad():
        assert (model(x) - before).abs().max() > 0.01
    _check(fast, model, x)


def test_written_and_replaced_weights_count(caplog: pytest.LogCaptureFixture) -> None:
    model = _network()
    fast, x = _compiled(model), torch.randn(2, 3, 8, 8)
    _check(fast, model, x)
    with torch.no_grad():
        model[0].weight.mul_(-1)  # type: ignore[operator, union-attr]
    _check(fast, model, x)
    model[3].weight.data = torch.ones(4, 8, 3, 3)  # type: ignore[union-attr]
    _check(fast, model, x)
    assert caplog.messages == []


def test_training_runs_elsewhere_and_its_result_is_then_compiled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = _network().train()
    fast, x = _compiled(model), torch.randn(4, 3, 8, 8)
    fast(x).sum().backward()
    assert caplog.messages == [
        "a graph is left to eager: gradients may be asked for; call the network under "
        "torch.no_grad()"
    ]
    assert model[0].weight.grad is not None
    model.eval()
    caplog.clear()
    _check(fast, model, x)
    assert caplog.messages == []


def test_batch_norms_in_training_mode_keep_counting(caplog: pytest.LogCaptureFixture) -> None:
    model, twin = _network().train(), _network().train()
    twin.load_state_dict(model.state_dict())
    x = torch.randn(4, 3, 8, 8)
    _check(_compiled(model), twin, x)
    assert "writes to its inputs or buffers" in caplog.text
    torch.testing.assert_close(model.state_dict(), twin.state_dict())


def test_inductor_gets_the_mode_and_eager_what_it_cannot_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    def broken(name: str) -> Any:
        def compile(*_: Any, **more: Any) -> Any:
            asked.append((name, more))
            raise RuntimeError("no compiler")

        return compile

    monkeypatch.setattr("openwork.engine.dynamo.backend.lookup_backend", broken)
    model = _network().double()
    fast = torch.compile(model, backend=backend, mode="reduce-overhead")
    x = torch.randn(1, 3, 8, 8, dtype=torch.double)
    with torch.no_grad():
        assert torch.equal(fast(x), model(x))
    assert asked == [("inductor", {"mode": "reduce-overhead"})]
    assert caplog.messages == [
        "a graph is left to inductor: a tensor is torch.float64, not float32",
        "a graph is left to eager, as inductor fails: no compiler",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 1}, "`options` holds 'threads', but may hold 'tolerance'"),
        ({"tolerance": -1.0}, "`tolerance`=-1.0"),
        ({"fallback": "none"}, "`fallback`='none'"),
        ({"optimize": "size"}, "`optimize`='size'"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], message: str) -> None:
    graph = torch.fx.symbolic_trace(nn.ReLU())
    with pytest.raises(ArgumentError, match=message):
        backend(graph, [torch.zeros(1)], options=options)


# (name, height and width): small images, so that a network takes seconds.
ZOO = [
    ("basicnet", 32),
    ("resnet32", 32),
    ("timm:mobilenetv3_small_100", 64),
    ("timm:seresnet18", 64),
    ("torchvision:squeezenet1_1", 64),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), ZOO)
def test_networks_of_the_zoo_run_on_the_engine(
    name: str, side: int, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = ow.models.build(name, num_classes=10, in_channels=3, image_size=side).eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    fast = _compiled(model)
    for batch in (2, 3, 1):
        x = torch.randn(batch, 3, side, side)
        with torch.no_grad():
            wanted, found = model(x), fast(x)
        assert (found - wanted).abs().max() <= 1e-3 * wanted.abs().max()
    assert caplog.messages == []
    assert all(torch.equal(before[key], each) for key, each in model.state_dict().items())
