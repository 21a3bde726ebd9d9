"""The difference between two runs, in words, and the digest of a network."""

from typing import Any

import pytest
import torch
from torch import nn

import openwork as ow
from openwork._identity import difference, digest_of, with_settings
from openwork.io.plain import plain

STAGE = {"granularity": "kernel", "ratio": 0.5}


@pytest.mark.parametrize(
    ("stored", "current", "words"),
    [
        ({"model": "a", "ratio": 1}, {"ratio": 1, "model": "a"}, ""),
        ({"model": "a", "ratio": 1}, {"model": "b", "ratio": 2}, "the network's weights differ"),
        (
            {"stages": [STAGE, STAGE]},
            {"stages": [STAGE, STAGE | {"ratio": 0.7}]},
            "stage 2 differs: ratio is 0.5 there, 0.7 here",
        ),
        ({"settings": {"a": "l1"}}, {"settings": {"a": "l2"}}, "a is 'l1' there, 'l2' here"),
        ({}, {"settings": {"a": "l2"}}, "a is not given there, 'l2' here"),
        ({"settings": {"a": None}}, {}, "a is None there, not given here"),
        ({"recipe": {"lr": 1}}, {"recipe": {"lr": 2}}, "recipe: lr is 1 there, 2 here"),
    ],
)
def test_the_first_difference_is_named(
    stored: dict[str, Any], current: dict[str, Any], words: str
) -> None:
    assert difference(stored, current) == words


def test_settings_are_a_part_of_an_identity_if_there_are_any() -> None:
    assert with_settings({"ratio": 1}, {"lr": 2}) == {"ratio": 1, "settings": {"lr": 2}}
    assert with_settings({"ratio": 1}, {}) == {"ratio": 1}
    assert with_settings({"ratio": 1}, None) == {"ratio": 1}


def test_an_identity_is_plain_data() -> None:
    assert plain("identity", {"a": (1, 2)}) == {"a": [1, 2]}
    with pytest.raises(ow.ArgumentError, match=r"`identity`=.*must map names to plain"):
        plain("identity", {"a": torch.zeros(1)})


class WithExtraState(nn.Module):
    """A module whose state holds more than tensors."""

    def __init__(self, note: str) -> None:
        super().__init__()
        self.note = note

    def get_extra_state(self) -> dict[str, str]:
        return {"note": self.note}

    def set_extra_state(self, state: dict[str, str]) -> None:
        self.note = state["note"]


def test_extra_state_counts() -> None:
    assert digest_of(WithExtraState("a")) == digest_of(WithExtraState("a"))
    assert digest_of(WithExtraState("a")) != digest_of(WithExtraState("b"))
