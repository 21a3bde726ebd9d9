"""`layer_of`: which nodes are layers with a known weight, and their names."""

import torch
from torch import nn

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.layer import is_layer, layer_name, layer_of
from openwork.quantize.net import net_of


class _Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(2, 3, 3, bias=False), nn.ConvTranspose2d(3, 2, 2)
        self.head = nn.Linear(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.up(self.conv(x)).mean((2, 3))
        computed = torch.einsum("nc,nd->cd", once, once)
        return self.head(self.head.weight.new_ones(1) * once) + nn.functional.linear(
            once, computed
        ).sum(1, keepdim=True)


def test_layers_with_known_weights() -> None:
    model = _Mixed().eval()
    net = net_of(capture(model, call_of(model, torch.randn(2, 2, 5, 5))))
    nodes = [node for node in net.graph.nodes if is_layer(node)]
    found = {layer_name(net, node): layer_of(net, node) for node in nodes}
    # A transposed convolution and a computed weight stay float32.
    assert [name for name, layer in found.items() if layer is not None] == ["conv", "head"]
    assert len(found) == len(nodes) == 4
    conv, head = found["conv"], found["head"]
    assert conv is not None
    assert head is not None
    assert (conv.bias, conv.weight.shape) == (None, (3, 2, 3, 3))
    assert torch.equal(head.weight, model.head.weight)
