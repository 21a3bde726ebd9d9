"""`Net`: constants are computed once, and what evaluation skips is gone."""

import torch
from torch import nn

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.net import Net, name_of, net_of


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gain = nn.Conv2d(2, 3, 1), nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept = nn.functional.dropout(x, 0.5, self.training)
        weight = self.conv.weight * self.gain
        return nn.functional.conv2d(kept, weight, self.conv.bias), kept.relu_()


def _net() -> tuple[nn.Module, Net]:
    torch.manual_seed(0)
    model = _Scaled().eval()
    return model, net_of(capture(model, call_of(model, torch.randn(2, 2, 4, 4))))


def test_constants_are_computed_and_dropout_is_gone() -> None:
    model, net = _net()
    assert [name_of(node) for node in net.graph.nodes if node.op == "call_function"] == [
        "conv2d",
        "relu",
    ]
    weight = next(each for each in net.tensors.values() if each.dim() == 4 and each.shape[0] == 3)
    assert any(
        torch.equal(each, model.get_parameter("conv.weight") * 2) for each in net.tensors.values()
    )
    assert weight.requires_grad is False


@torch.no_grad()
def test_walk_gives_what_the_network_gives_and_takes_other_values() -> None:
    model, net = _net()
    x = torch.randn(3, 2, 5, 5)
    expected, kept = model(x.clone())
    found = net.outputs([x])
    assert torch.allclose(found[0], expected)
    assert torch.equal(found[1], kept)
    other = torch.randn(1, 2, 5, 5)
    given: dict[str, list[torch.Tensor]] = {}
    for node, values in net.walk([[x], [other]]):
        if str(node) == "x":
            values[0] = torch.zeros_like(x)
        given[name_of(node)] = values
    first, second = given["conv2d"]
    assert torch.equal(
        first, model.get_parameter("conv.bias")[None, :, None, None].expand_as(first)
    )
    alone = {name_of(node): values for node, values in net.walk([[other]])}
    assert torch.equal(second, alone["conv2d"][0])


def test_held_tensors_never_replace_each_other() -> None:
    _, net = _net()
    names = [str(net.hold("extra", torch.zeros(n)).target) for n in (1, 2)]
    assert names == ["extra", "extra_2"]
    assert [len(net.tensors[name]) for name in names] == [1, 2]
