"""What a network is given in a call, from whatever the user passes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from openwork._call import Call, as_call, call_of, call_of_batch
from openwork.errors import ArgumentError

X, Y = torch.ones(2, 3), torch.zeros(2, 3)


def network(forward: Callable[..., Any]) -> nn.Module:
    """A module with this `forward`, a function without `self`."""
    model = nn.Module()
    model.__dict__["forward"] = forward
    return model


ONE = network(lambda x: x + 1)
TWO = network(lambda a, b: a + b)
OPTIONAL = network(lambda x, mask=None: x if mask is None else x * mask)
MIXED = network(lambda x, *, scale=1.0: x * scale)
LISTED = network(lambda xs: torch.cat(list(xs)))
LISTED_OR_NOT = network(lambda xs, scale=1: torch.stack(xs) * scale)
BATCH = network(lambda batch: batch["image"])
KEYS = network(lambda image=None, other=None: image + 1)
ANY = network(lambda *xs: sum(xs))
ANY_KEYS = network(lambda **named: named["image"])


@dataclass
class Sample:
    image: torch.Tensor
    scale: float


@pytest.mark.parametrize(
    ("model", "example", "args", "kwargs"),
    [
        (ONE, X, (X,), {}),
        (ONE, (X,), (X,), {}),
        (ONE, [X], (X,), {}),
        (TWO, (X, Y), (X, Y), {}),
        (TWO, {"b": Y, "a": X}, (), {"a": X, "b": Y}),
        (OPTIONAL, (X, None), (X, None), {}),
        (MIXED, {"x": X, "scale": 2.0}, (), {"x": X, "scale": 2.0}),
        (LISTED, [X, Y], ([X, Y],), {}),
        (LISTED, (X, Y), ((X, Y),), {}),
        (LISTED_OR_NOT, [X, Y], ([X, Y],), {}),
        (BATCH, {"image": X}, ({"image": X},), {}),
        (BATCH, ({"image": X},), ({"image": X},), {}),
        (KEYS, {"image": X}, (), {"image": X}),
        (ANY, [X, Y, X], (X, Y, X), {}),
        (ANY_KEYS, {"image": X}, (), {"image": X}),
        (network(lambda sample: sample.image), Sample(X, 2.0), (Sample(X, 2.0),), {}),
    ],
)
def test_the_reading_that_the_network_takes(
    model: nn.Module, example: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    call = call_of(model, example)
    # By the text, since tensors have no single truth value.
    assert repr((call.args, call.kwargs)) == repr((args, kwargs))
    assert call_of(model, call) is call
    assert isinstance(call.run(model), torch.Tensor)


@pytest.mark.parametrize(
    ("model", "batch", "tensors"),
    [
        (ONE, (X, torch.zeros(2)), 1),
        (ONE, [X, torch.zeros(2)], 1),
        (TWO, (X, Y), 2),
        (TWO, [X, Y, torch.zeros(2)], 2),
        (TWO, ((X, Y), torch.zeros(2)), 2),
        (OPTIONAL, (X, torch.zeros(2)), 1),
        (LISTED, ([X, Y], torch.zeros(2)), 2),
        (BATCH, {"image": X, "label": Y}, 2),
        (network(lambda image: image), {"image": X, "label": Y}, 1),
    ],
)
def test_a_batch_begins_with_the_inputs(model: nn.Module, batch: Any, tensors: int) -> None:
    call = call_of_batch(model, batch)
    assert len(call) == tensors
    assert isinstance(call.run(model), torch.Tensor)


def test_tensors_are_replaced_in_their_places() -> None:
    call = Call({"a": [X, 3]}, None, b=Y)
    assert [tensor.sum().item() for tensor in call] == [6, 0]
    assert (len(call), call.images, call[1] is Y) == (2, 2, True)
    other = call.map(lambda tensor: tensor + 1)
    assert (other.args[0]["a"][1], other.args[1]) == (3, None)
    assert torch.equal(other.args[0]["a"][0], X + 1)
    assert torch.equal(other.kwargs["b"], Y + 1)
    assert call[0] is X
    moved = Call(X, torch.arange(2)).to("cpu", torch.float64)
    assert [tensor.dtype for tensor in moved] == [torch.float64, torch.int64]


def test_tensors_are_named_after_parameters() -> None:
    model = network(lambda x, batch, *more, **named: None)
    call = Call(X, {"im": [X, X]}, X, X, key=X, lambda_=X)
    names = ["x", "batch_im_0", "batch_im_1", "more_2", "more_3", "key", "lambda"]
    assert call.names(model)[:-1] == names[:-1]
    assert all(name.isidentifier() for name in call.names(model))
    assert len(set(call.names(model))) == 7


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ("x.png", r"`example` is a str, 'x.png', but must be a tensor"),
        (3, "`example` is a int, 3, but must"),
        ([], "is a list without a tensor"),
        ({}, "is a dict without a tensor"),
        (X.numpy(), "is a ndarray, but must"),
        (X.to_sparse(), r"holds a tensor that is sparse_coo; pass tensor.to_dense\(\)"),
        (torch.zeros(2, 3, device="meta"), "on the meta device"),
        ((X, {"a": torch.zeros(4, 4).to_mkldnn()}), "is mkldnn; pass"),
        (torch.nested.nested_tensor([X, X], layout=torch.jagged), "is nested; pad it"),
    ],
)
def test_what_holds_no_numbers_is_refused(example: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call_of(ANY, example)
    with pytest.raises(ArgumentError, match=message.replace("example", "batches")):
        call_of_batch(ANY, (example,))


def test_a_sequence_of_tensors_holds_positional_arguments() -> None:
    assert repr(as_call([X, Y]).args) == repr((X, Y))
    with pytest.raises(ArgumentError, match="holds a int at place 1"):
        as_call([X, 3])  # type: ignore[list-item]
    with pytest.raises(
        ArgumentError, match=r"`example` is a Tensor, .* sequence of tensors: \(tensor,\)"
    ):
        as_call(X)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_tensors_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"is quantised; pass tensor.dequantize"):
        call_of(ONE, torch.quantize_per_tensor(X, 0.1, 0, torch.qint8))
