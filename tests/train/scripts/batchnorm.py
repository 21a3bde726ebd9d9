"""One rank of two: synced batch normalisation against torch's own on the whole batch."""

import importlib.util
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from openwork.models.zoo import import_zoo
from openwork.nn import BatchNormAct2d
from openwork.train.sync_batchnorm import synced_batchnorm

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
# Both sides sum the same float32 numbers, in another order; torch finds the variance in one
# pass. Some tens of units in the last place (1.2e-7) of values up to ten.
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}

CASES: list[tuple[type[BatchNorm], tuple[int, ...], dict[str, Any]]] = [
    (nn.BatchNorm1d, (7, 5), {}),
    (nn.BatchNorm1d, (7, 5, 6), {}),
    (nn.BatchNorm2d, (7, 5, 4, 3), {}),
    (nn.BatchNorm2d, (2, 5, 4, 3), {}),
    (nn.BatchNorm2d, (7, 5, 4, 3), {"affine": False}),
    (nn.BatchNorm2d, (7, 5, 4, 3), {"momentum": None}),
    (nn.BatchNorm2d, (7, 5, 4, 3), {"track_running_stats": False}),
    (nn.BatchNorm3d, (7, 5, 2, 2, 3), {}),
    (BatchNormAct2d, (7, 5, 4, 3), {}),
]
if importlib.util.find_spec("timm") is not None:
    timms = import_zoo("timm").layers.BatchNormAct2d
    CASES.append((timms, (7, 5, 4, 3), {"act_layer": nn.SiLU}))


def _compare(
    kind: type[BatchNorm], shape: tuple[int, ...], options: dict[str, Any], rank: int
) -> None:
    torch.manual_seed(0)
    reference, ours = kind(5, **options), kind(5, **options)
    if reference.affine:
        nn.init.normal_(reference.weight)
        nn.init.normal_(reference.bias)
    ours.load_state_dict(reference.state_dict())
    mine = slice(rank, None, 2)
    whole = torch.empty(0)
    # Two steps, so that running statistics are updated from something other than their start.
    for _ in range(2):
        whole = (torch.randn(shape) * 3 + 2).requires_grad_()
        part = whole.detach()[mine].clone().requires_grad_()
        weight = torch.randn(shape)
        expected = reference(whole)
        # A loss whose terms are not linear in the output, so that gradients cross the ranks.
        (expected.square() * weight).sum().backward()
        with synced_batchnorm(ours, 2):
            assert type(ours) is not kind
            result = ours(part)
            (result.square() * weight[mine]).sum().backward()
        assert type(ours) is kind
        torch.testing.assert_close(result, expected[mine], **CLOSE)
        assert whole.grad is not None
        torch.testing.assert_close(part.grad, whole.grad[mine], **CLOSE)
    for (name, value), other in zip(ours.named_buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(value, other, **CLOSE, msg=lambda text, n=name: f"{n}: {text}")
    for value, other in zip(ours.parameters(), reference.parameters(), strict=True):
        # Each rank holds its own terms of the sum over the batch.
        dist.all_reduce(value.grad)
        torch.testing.assert_close(value.grad, other.grad, **CLOSE)
    reference.eval()
    ours.eval()
    with synced_batchnorm(ours, 2), torch.no_grad():
        # Rank 1 does not call it: in evaluation nobody waits for anybody.
        if rank == 0 and ours.track_running_stats:
            torch.testing.assert_close(ours(whole), reference(whole), **CLOSE)


def main() -> None:
    rank = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    for kind, shape, options in CASES:
        _compare(kind, shape, options, rank)
    sys.stdout.write(f"{len(CASES)} cases agree\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
