"""Random networks: what is cut out without asking whether it was right, is right."""

import copy

import torch
from channel_networks import KINDS, Unit, network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from openwork.capture import capture
from openwork.compact import compact
from openwork.compact.select import Selection
from openwork.compact.surgery import cut_
from openwork.flow.analysis import analyse
from openwork.verify import difference

NOTHING = torch.empty(0, dtype=torch.int64).numpy()
QUICK = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# Never all, since then nothing reads what comes before.
some = st.sets(st.integers(0, 7), max_size=7)
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
    torch.manual_seed(seed)
    model = network(kinds, seed)
    small, _ = _cut(model, torch.randn(2, 3, 24, 24))
    with torch.no_grad():
        for size in ((24, 24), (37, 29)):
            x = torch.randn(2, 3, *size, dtype=torch.float64)
            expected = copy.deepcopy(model).double()(x)
            # Constants are folded in double precision and kept in float32.
            assert difference(expected, copy.deepcopy(small).double()(x)) < 1e-5


@QUICK
@given(seed=st.integers(0, 10**6), dead=st.lists(some, min_size=3, max_size=3))
def test_all_that_is_known_to_be_dead_goes(seed: int, dead: list[set[int]]) -> None:
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    units = [Unit(3, 8, draw), Unit(8, 8, draw), Unit(8, 8, draw)]
    for unit, channels in zip(units, dead, strict=True):
        unit.act = nn.SiLU()
        # All scales but those of the dead are off zero.
        nn.init.uniform_(unit.norm.bias, 0.1, 0.5)
        for tensor in (unit.norm.weight, unit.norm.bias):
            tensor.data[sorted(channels)] = 0
    model = nn.Sequential(*units, nn.Conv2d(8, 2, 1)).eval()
    small, _ = _cut(model, torch.randn(1, 3, 24, 24))
    for unit, channels in zip(small, dead, strict=False):
        assert isinstance(unit, Unit)
        assert unit.conv.out_channels == unit.norm.num_features == 8 - len(channels)


@QUICK
@given(kinds=parts, seed=st.integers(0, 10**6))
def test_compacting_twice_changes_nothing(kinds: list[str], seed: int) -> None:
    torch.manual_seed(seed)
    model = network(kinds, seed)
    small, _ = compact(model, torch.randn(1, 3, 24, 24))
    again, _ = compact(small, torch.randn(1, 3, 24, 24))
    one, two = small.state_dict(), again.state_dict()
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in two.items()}
