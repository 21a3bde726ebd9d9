"""Tensors and constants of torch as a file holds them, and back."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from openwork.engine.torch_data import TorchDecoder, TorchEncoder
from openwork.patterns import random
from openwork.runtime.file_errors import MalformedFile, NotSerializable


def test_constants_of_torch_come_back() -> None:
    item = (torch.float16, torch.channels_last, torch.strided, torch.device("cpu"))
    encoder = TorchEncoder()
    text = json.dumps(encoder.encode(item))
    decoded = TorchDecoder(encoder.tensors, encoder.values).decode(json.loads(text))
    assert decoded == item
    assert type(decoded) is tuple


def test_arrays_tensors_and_patterns_come_back() -> None:
    pattern = random(4, 4, 3, 0.5)
    item = [np.arange(3.0), torch.ones(2, dtype=torch.bfloat16), pattern]
    encoder = TorchEncoder()
    encoded = json.loads(json.dumps(encoder.encode(item)))
    assert all(isinstance(tensor, torch.Tensor) for tensor in encoder.tensors.values())
    array, tensor, same = TorchDecoder(encoder.tensors, encoder.values).decode(encoded)
    assert np.array_equal(array, item[0])
    assert torch.equal(tensor, item[1])
    assert same == pattern


@pytest.mark.parametrize(
    "item", [object(), 1j, torch.float32.__class__, {1, 2}, torch.eye(2).to_sparse()]
)
def test_other_things_are_refused(item: Any) -> None:
    with pytest.raises(NotSerializable, match=r"^a "):
        TorchEncoder().encode([item])


@pytest.mark.parametrize(
    "item",
    [
        *({}, {"tuple": 1}, {"a": 1}, {"value": 0}, {"value": True}, {"tensor": "no"}),
        *({"dtype": "load"}, {"dtype": "channels_last"}, {"device": "cuda"}, {"dict": 3}),
        *({"pattern": [[4, 1 << 40], 1, True, "t"]}, {"pattern": [[0, 4], 1, True, "t"]}),
        *({"tuple": [], "list": []}, [[{"value": -1}]]),
    ],
    ids=str,
)
def test_other_forms_are_refused(item: Any) -> None:
    with pytest.raises(MalformedFile):
        TorchDecoder({"t": torch.ones(2, dtype=torch.uint8)}, []).decode(item)
