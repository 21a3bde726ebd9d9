"""Random networks: what is cut out without asking whether it was right, is right."""

import copy

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import KINDS, network
from torch import nn

from openwork.capture import capture, difference
from openwork.channels import compact
from openwork.channels.analysis import analyse
from openwork.channels.select import Selection
from openwork.channels.surgery import cut_

NOTHING = torch.empty(0, dtype=torch.int64).numpy()
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
parts = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4)


def _cut(model: nn.Module, example: torch.Tensor) -> tuple[nn.Module, Selection]:
    """Cut by analysis alone, without comparing or falling back."""
    analysis = analyse(capture(model, (example,)), model)
    selection = Selection(analysis, NOTHING)
    small = copy.deepcopy(model)
    cut_(small, analysis, selection)
    return small, selection


@QUICK
@given(kinds=parts, seed=st.integers(0, 10**6))
def test_outputs_stay_at_any_size(kinds: list[str], seed: int) -> None:
    model = network(kinds, seed)
    small, _ = _cut(model, torch.randn(2, 3, 24, 24))
    with torch.no_grad():
        for size in ((24, 24), (37, 29)):
            x = torch.randn(2, 3, *size, dtype=torch.float64)
            expected = copy.deepcopy(model).double()(x)
            # Constants are folded in double precision and kept in float32.
            assert difference(expected, copy.deepcopy(small).double()(x)) < 1e-5


@QUICK
@given(kinds=parts, seed=st.integers(0, 10**6))
def test_compacting_twice_changes_nothing(kinds: list[str], seed: int) -> None:
    model = network(kinds, seed)
    small, _ = compact(model, torch.randn(1, 3, 24, 24))
    again, _ = compact(small, torch.randn(1, 3, 24, 24))
    one, two = small.state_dict(), again.state_dict()
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in two.items()}
