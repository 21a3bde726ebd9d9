"""Evaluation mode for a while: every module gets back the mode that it had."""

import pytest
from torch import nn

from openwork._mode import evaluation


@pytest.mark.parametrize("fails", [False, True])
def test_modes_are_put_back_one_by_one(fails: bool) -> None:
    one, two = nn.Sequential(nn.ReLU(), nn.Dropout()), nn.Linear(1, 1).eval()
    one[1].eval()
    before = [module.training for module in (*one.modules(), two)]
    assert before == [True, True, False, False]
    try:
        with evaluation(one, two):
            assert not any(module.training for module in (*one.modules(), two))
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert [module.training for module in (*one.modules(), two)] == before
