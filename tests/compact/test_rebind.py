"""`rebind`: other values for some parameters, the captured network untouched."""

import torch
from torch import nn

from openwork.capture import capture
from openwork.compact.rebind import rebind
from openwork.flow.analysis import analyse


def test_only_the_named_parameters_have_other_values() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)).eval()
    captured = capture(model, (torch.rand(2, 2, 4, 4),))
    scales = torch.tensor([1.0, 0.0, 1.0])
    changed = rebind(captured, {"1.weight": scales})
    names = captured.program.graph_signature.inputs_to_parameters
    for place, name in names.items():
        expected = scales if name == "1.weight" else model.get_parameter(name)
        assert changed.constants[place] is not None
        assert torch.equal(changed.constants[place], expected)
        assert torch.equal(captured.constants[place], model.get_parameter(name))
    assert changed.program is captured.program
    dead = [(analyse(one, model).atoms.value == 0).sum() for one in (captured, changed)]
    assert dead[1] > dead[0]
