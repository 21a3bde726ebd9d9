"""`Deferred`: code that reads the output of a fused norm sees what the norm alone would give."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from openwork import models
from openwork.errors import OpenworkError
from openwork.nn import fuse_norms_
from openwork.nn.norms.deferred import Deferred

SMALL, LARGE = (torch.randn(4, 3, s, s, generator=torch.Generator().manual_seed(s)) for s in (8, 9))


def _after_relu(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return act(y) + 2 * y


def _before_relu(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    mean = y.mean((2, 3), keepdim=True)
    return act(y) * mean


def _written_before(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    y.mul_(3)
    return act(y)


def _written_after(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    z = act(y).clone()
    return z + y.sub_(1)


def _as_out(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        held = torch.empty_like(y)
        torch.add(y, 1, out=held)
    return act(y) + held


def _joined(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return torch.cat([act(y), y[:, 1:], F.pad(y, [0, 0])], 1)[:, :4] + y.new_ones(())


def _without_gradient(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        scale = y.abs().max()
    return act(y) / scale


def _in_order(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    rows = list(y)
    return act(torch.stack(rows))


def _scaled_sum(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return act(torch.add(y, torch.ones(y.shape), alpha=2))


def _broadcast_sum(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return act(y + torch.ones(1, y.shape[1], 1, 1)) + act(y + 1)


def _sum_read_twice(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    z = y + torch.ones(y.shape)
    return act(z) + act(y) * z


def _sum_of_a_sum(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return act((y + torch.ones(y.shape)) + torch.ones(y.shape))


def _sum_with_itself(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return act(y + y)


def _sum_in_place(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    z = y
    z += torch.ones(y.shape)
    return act(z) + y


def _sum_into_the_other(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    z = torch.ones(y.shape)
    z += y
    return act(z) - act(y)


def _relu_without_gradient(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        scale = act(y)
        shift = act(y + torch.ones(y.shape))
    return act(y) * scale + shift


def _written_before_a_sum(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    y.mul_(3)
    return act(y + torch.ones(y.shape))


def _sum_after_relu(y: torch.Tensor, act: nn.Module) -> torch.Tensor:
    z = act(y)
    y += torch.ones(y.shape)
    return z * y


READERS = [
    _written_before_a_sum,
    _sum_after_relu,
    _scaled_sum,
    _broadcast_sum,
    _sum_read_twice,
    _sum_of_a_sum,
    _sum_with_itself,
    _sum_in_place,
    _sum_into_the_other,
    _relu_without_gradient,
    _after_relu,
    _before_relu,
    _written_before,
    _written_after,
    _as_out,
    _joined,
    _without_gradient,
    _in_order,
]
# With a ReLU in place torch refuses the gradient of the others, fused or not.
IN_PLACE = [_after_relu, _written_before, _as_out, _joined, _without_gradient, _in_order]


class ReadsTwice(nn.Module):
    """Reads the output of its norm a second time at another size than the example's."""

    def __init__(self, reader: Callable[..., torch.Tensor], inplace: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.act, self.end, self.reader = nn.ReLU(inplace), nn.Conv2d(4, 2, 3), reader

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        return self.end(self.act(y) if x.shape[-1] == 8 else self.reader(y, self.act))


def _step(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    output = model(images)
    output.square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [output, *gradients, *(b.clone() for b in model.buffers())]


def _fused(model: nn.Module) -> tuple[Any, Any]:
    twin = copy.deepcopy(model)
    assert fuse_norms_(model, SMALL).fused == {"norm": "act"}
    assert type(model.norm(model.conv(SMALL))) is Deferred  # type: ignore[operator]
    model.load_state_dict(twin.state_dict())
    return model, twin


@pytest.mark.parametrize(
    ("reader", "inplace"), [*((r, False) for r in READERS), *((r, True) for r in IN_PLACE)]
)
@pytest.mark.parametrize("training", [True, False])
def test_a_second_read_sees_no_relu(reader: Any, inplace: bool, training: bool) -> None:
    torch.manual_seed(0)
    model, twin = _fused(ReadsTwice(reader, inplace))
    for images in (SMALL, LARGE):
        pairs = zip(
            _step(model.train(training), images), _step(twin.train(training), images), strict=True
        )
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


def test_hooks_registered_later_see_what_they_saw_before() -> None:
    torch.manual_seed(0)
    seen: list[list[Any]] = []
    models = _fused(ReadsTwice(_after_relu))
    for each in models:
        own: list[Any] = []
        seen.append(own)
        each.norm.register_forward_hook(lambda *call, own=own: own.append(call[2].detach().clone()))
        each.norm.register_full_backward_hook(lambda *call, own=own: own.append(call[2][0]))
    for found, expected in zip(*(_step(each, SMALL) for each in models), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)
    assert seen[1][0].min() < 0
    for found, expected in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_hook_may_replace_the_output() -> None:
    torch.manual_seed(0)
    model, twin = _fused(ReadsTwice(_after_relu))
    for each in (model, twin):
        each.norm.register_forward_hook(lambda *call: -call[2])
    torch.testing.assert_close(model(SMALL), twin(SMALL), rtol=1e-4, atol=1e-4)


def test_sums_are_part_of_what_is_read() -> None:
    torch.manual_seed(0)
    model: Any = models.build("resnet32")
    twin, images = copy.deepcopy(model), torch.randn(2, 3, 32, 32)
    norm = fuse_norms_(model, images).sums[0]
    block = norm.rpartition(".")[0]
    seen: list[list[torch.Tensor]] = []
    for each in (model, twin):
        own: list[torch.Tensor] = []
        seen.append(own)
        act, norms = each.get_submodule(f"{block}.relu2"), each.get_submodule(norm)
        act.register_forward_hook(lambda *call, own=own: own.append(call[1][0] + 0))
        norms.register_forward_hook(lambda *call, own=own: own.append(call[2] + 0))
        each(images)
    # What the ReLU takes is the sum, and what the norm gives is not.
    assert not torch.allclose(*seen[1], rtol=1e-2, atol=1e-2)
    for found, expected in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_shapes_cost_nothing() -> None:
    model, _ = _fused(ReadsTwice(_after_relu))
    with torch.no_grad():
        assert not model.norm(model.conv(SMALL)).requires_grad
    assert model.norm(torch.randn(4, 4, 6, 6)).requires_grad
    y = model.norm(model.conv(SMALL))
    assert (y.shape, y.dtype, y.dim(), len(y)) == ((4, 4, 6, 6), torch.float32, 4, 4)
    assert y.requires_grad
    assert not y.is_sparse
    assert y._held.output is None
    assert y.min() < 0 == model.act(y).min()


class Doubled(torch.autograd.Function):
    """A function of the user's."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0] * 2


def test_what_would_lose_a_gradient_is_refused() -> None:
    model, twin = _fused(ReadsTwice(_after_relu))
    norm = nn.Sequential(model.conv, model.norm)
    with pytest.raises(OpenworkError, match="would lose its gradient"):
        Doubled.apply(norm(SMALL)).sum().backward()  # type: ignore[no-untyped-call]
    images = SMALL.clone().requires_grad_()
    with pytest.raises(OpenworkError, match="reentrant checkpoint"):
        model.act(checkpoint(norm, images, use_reentrant=True))
    hooked, _ = _fused(ReadsTwice(_after_relu))
    hooked.act.register_full_backward_hook(lambda *given: None)
    with pytest.raises(OpenworkError, match="a full backward hook"):
        hooked(SMALL).sum().backward()
    y = norm(SMALL)
    score = model.act(y).sum()
    with pytest.raises(OpenworkError, match=r"after its activation ran; call unfuse_norms_"):
        torch.autograd.grad(score, y)
    found = checkpoint(model, SMALL, use_reentrant=False)
    torch.testing.assert_close(found, twin(SMALL), rtol=1e-4, atol=1e-4)


def test_a_read_after_the_input_changed_is_refused() -> None:
    model, _ = _fused(ReadsTwice(_after_relu))
    x = torch.randn(2, 4, 6, 6)
    y = model.norm(x)
    x.zero_()
    with pytest.raises(OpenworkError, match="was changed in place"):
        y.add(1)
    with pytest.raises(OpenworkError, match="was changed in place"):
        y.add(torch.ones(y.shape))
    residual = torch.ones(y.shape)
    total = model.norm(x) + residual
    residual.zero_()
    with pytest.raises(OpenworkError, match="was changed in place"):
        model.act(total)


def test_what_ran_without_gradients_has_none() -> None:
    model, _ = _fused(ReadsTwice(_after_relu))
    x = model.conv(SMALL)
    with torch.no_grad():
        ys = [model.norm(x) for _ in range(4)]
        filled = torch.empty(x.shape)
        torch.add(model.norm(x), torch.ones(x.shape), out=filled)
    torch.testing.assert_close(filled, ys[0] + 1)
    ys[3] += torch.ones(ys[3].shape)
    found = [model.act(ys[0]), model.act(ys[1] + torch.ones(ys[1].shape)), ys[2] + 1, ys[3]]
    assert not any(each.requires_grad for each in found)


def test_statistics_count_a_batch_once_however_often_it_is_read() -> None:
    model, _ = _fused(ReadsTwice(_sum_read_twice))
    norm = model.norm
    before = int(norm.num_batches_tracked)
    y = norm(SMALL.repeat(1, 2, 1, 1)[:, :4])
    assert model.act(y).min() == 0
    mean = norm.running_mean.clone()
    assert (y + y.detach()).min() < 0
    assert model.act(y).min() == 0
    assert norm.num_batches_tracked == before + 1
    assert torch.equal(norm.running_mean, mean)


def test_the_gradient_by_a_retained_output_is_right() -> None:
    torch.manual_seed(0)
    gradients = []
    for each in _fused(ReadsTwice(_after_relu)):
        y = each.norm(each.conv(SMALL))
        y.retain_grad()
        each.act(y).square().sum().backward()
        gradients.append(y.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
