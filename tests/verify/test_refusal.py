"""`refusal`: the difference, the tolerance, and what rounding explains."""

import torch
from torch import nn

from openwork.errors import VerificationError
from openwork.verify import OutputDifference, refusal


class Amplifying(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1e5 - 1e5


INPUTS = (torch.linspace(0.1, 1, 7)[None],)
FOUND = OutputDifference("given", (1, 7), 0.2, 0.1, inputs=INPUTS)


def test_the_difference_and_the_tolerance_are_named() -> None:
    error = refusal("the compiled network", FOUND, nn.Identity(), 1e-3, "on one image")
    assert isinstance(error, VerificationError)
    assert str(error) == (
        "the compiled network differs from the original by 1.00e-01 of its largest output, more "
        "than `tolerance`=0.001, on one image; the original is unchanged"
    )


def test_rounding_is_named_where_float64_could_not_decide() -> None:
    text = str(refusal("the compiled network", FOUND, Amplifying(), 1e-3))
    assert "in float32 the original's own outputs are off by " in text
    assert "a larger `tolerance` may be right; the original is unchanged" in text
    decided = OutputDifference("given", (1, 7), 0.2, 0.1, 0.1, INPUTS)
    assert "own outputs" not in str(refusal("the compiled network", decided, Amplifying(), 1e-3))


def test_other_shapes_are_not_a_number() -> None:
    infinite = OutputDifference("given", (1, 7), float("inf"), float("inf"), inputs=INPUTS)
    text = str(refusal("the smaller network", infinite, nn.Identity(), 1e-3))
    assert text.startswith("the smaller network's results are of another shape or dtype")
