"""Hooks: those that only observe are detached and reattached, others are part of the network."""

from typing import Any

import pytest
import torch
from channel_networks import Plain
from parts import part
from torch import nn

from openwork.compact import compact
from openwork.compact.hooks import detach_passive_hooks_, reattach_passive_hooks_

EXAMPLE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Watched(Plain):
    """A hook that keeps every output of the batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.norm.register_forward_hook(self.see)

    def see(self, _: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self.seen.append(output)


def test_hooks_that_only_observe_leave_nothing_and_are_on_the_copy() -> None:
    model, given = Watched().eval(), []
    model.head.register_forward_pre_hook(
        lambda _module, args, kwargs: given.append((args, kwargs)), with_kwargs=True
    )
    small, _ = compact(model, EXAMPLE)
    assert isinstance(small, Watched)
    assert (model.seen, given, small.seen) == ([], [], [])
    small(EXAMPLE)
    assert (len(given), len(small.seen), len(model.seen)) == (1, 1, 0)
    assert small.seen[-1].shape[1] == 5
    assert not any("_openwork" in key for module in small.modules() for key in vars(module))


def _one_more(_: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output + 1


def _doubled(_: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output * 2


def _add_one(_: nn.Module, inputs: Any, output: torch.Tensor) -> None:
    output.add_(1)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("how", ["returns", "writes", "sets"])
def test_hooks_that_compute_are_part_of_the_network(how: str) -> None:
    model = Watched().eval()
    if how == "returns":
        model.norm.register_forward_hook(_one_more)
    elif how == "writes":
        model.norm.register_forward_hook(_add_one)
    else:
        nn.utils.weight_norm(model.head)
    small, report = compact(model, EXAMPLE)
    if how == "returns":
        assert part(small, "stem", nn.Conv2d).out_channels == 5
    assert report.relative < 1e-5
    with torch.no_grad():
        torch.testing.assert_close(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


def test_only_passive_hooks_are_detached_and_all_come_back_in_order() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    seen: list[str] = []
    model[0].register_forward_hook(lambda *_: seen.append("passive"))
    model[0].register_forward_hook(_doubled)
    before = list(model[0]._forward_hooks.items())
    detach_passive_hooks_(model, (EXAMPLE,))
    assert list(model[0]._forward_hooks.items()) == before[1:]
    model(EXAMPLE)
    assert seen == []
    reattach_passive_hooks_(model)
    assert list(model[0]._forward_hooks.items()) == before
    model(EXAMPLE)
    assert seen == ["passive"]
    assert not any("_openwork" in key for key in vars(model[0]))


def test_hooks_that_never_ran_are_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    model.spare = nn.ReLU()
    model.spare.register_forward_hook(lambda *_: None)
    model.forward = model[0].forward
    detach_passive_hooks_(model, (EXAMPLE,))
    assert len(model.spare._forward_hooks) == 1
