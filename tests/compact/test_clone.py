"""`clone`: models that are hard to copy, and what cannot be copied."""

import threading
from typing import Any

import pytest
import torch
from channel_networks import Plain
from parts import part, tensor
from torch import nn

from openwork.compact import compact
from openwork.compact.clone import clone
from openwork.errors import ArgumentError

EXAMPLE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_a_copy_shares_no_tensors() -> None:
    model = Plain()
    model.cache = model.stem(EXAMPLE)
    copied = clone(model)
    assert torch.equal(tensor(copied, "cache"), tensor(model, "cache"))
    assert tensor(copied, "cache").is_leaf
    tensors = [{t.data_ptr() for t in net.state_dict().values()} for net in (model, copied)]
    assert not tensors[0] & tensors[1]
    assert torch.equal(copied(EXAMPLE), model(EXAMPLE))


def test_models_that_hold_computed_tensors_are_copied() -> None:
    model: Any = Plain()
    model.cache = [model.stem(EXAMPLE), {"weight": model.head.weight * 2}]
    assert part(compact(model, EXAMPLE)[0], "stem", nn.Conv2d).out_channels == 5


def test_what_cannot_be_copied_is_named() -> None:
    model: Any = Plain()
    model.norm.lock = threading.Lock()
    with pytest.raises(ArgumentError, match=r"`norm\.lock` .*cannot pickle"):
        compact(model, EXAMPLE)
