"""`scheme_of`: what is uint8, and what shares a scale."""

import torch
import torch.nn.functional as F
from residual import residual
from torch import nn

from openwork._call import call_of
from openwork.capture import capture
from openwork.quantize.fold_batch_norms import fold_batch_norms_
from openwork.quantize.net import Net, name_of, net_of
from openwork.quantize.scheme import Scheme, scheme_of


def _schemed(model: nn.Module, x: torch.Tensor) -> tuple[Net, Scheme]:
    net = net_of(capture(model.eval(), call_of(model, x)))
    fold_batch_norms_(net)
    return net, scheme_of(net)


def test_a_sum_and_a_relu_belong_to_their_layer() -> None:
    net, scheme = _schemed(*residual())
    assert len(scheme.layers) == 3
    order = [node for node in net.graph.nodes if node in scheme.values]
    # The input, what both summands read, what the sum's ReLU gives, and the mean.
    assert [name_of(node) for node in order] == ["", "relu", "relu", "mean"]


class _Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = F.relu(self.one(x)), F.relu(self.two(x))
        return self.last(F.max_pool2d(torch.cat([left, right], 1), 2)).sigmoid()


def test_what_only_moves_numbers_shares_a_scale() -> None:
    net, scheme = _schemed(_Joined(), torch.randn(2, 2, 6, 6))
    named = {node.name: node for node in scheme.values}
    roots = {name: scheme.root(node) for name, node in named.items()}
    assert roots["relu"] is roots["relu_1"] is roots["cat"] is roots["max_pool2d"]
    assert roots["x"] is not roots["cat"]
    # Nothing reads a sigmoid's result in int8.
    assert "sigmoid" not in named
    assert len(list(net.graph.nodes)) > len(named)
