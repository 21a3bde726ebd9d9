"""Where a graph is cut: neighbours that the kernels run are one segment."""

import numpy as np
import torch

from openwork.engine.fallback import Fallback, TorchOperator
from openwork.engine.native_segment import NativeSegment
from openwork.engine.segments import segments
from openwork.kernels.native import extension as _C
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import Add, Mean
from openwork.runtime.values import Value


def test_a_graph_is_cut_at_what_torch_runs() -> None:
    x, a, b, c = (Value((2, 3, 3), name) for name in "xabc")
    mean = Value((2,), "mean")
    gelu = Fallback([b], c, torch.ops.aten.gelu.default, (b,), {}, "")
    graph = Graph([x], [mean, a], [Add([x], a), Add([a, x], b), gelu, Mean([c], mean)])
    parts = segments(graph, {}, _C.chosen_isa())
    assert [type(part) for part in parts] == [NativeSegment, TorchOperator, NativeSegment]
    assert [[kind for _, kind in part.steps] for part in parts] == [
        ["add", "add"],
        ["fallback"],
        ["mean"],
    ]
    tensors = {x: torch.randn(4, 2, 3, 3)}
    seconds = np.zeros(2)
    parts[0].run(tensors, 4, 1, seconds)
    assert (seconds > 0).all()
    for part in parts[1:]:
        assert set(part.reads) <= tensors.keys()
        part.run(tensors, 4, 1)
    expected = torch.nn.functional.gelu(2 * tensors[x]).mean((2, 3))
    torch.testing.assert_close(tensors[mean], expected)
    assert torch.equal(tensors[a], tensors[x])
