"""Which operators a file may name."""

import math
from typing import Any

import pytest
import torch

from openwork.engine.operators import name_of, operator_named
from openwork.runtime.file_errors import MalformedFile, NotSerializable

aten = torch.ops.aten


@pytest.mark.parametrize(
    "target",
    [
        aten.gelu.default,
        aten.softmax.int,
        aten._native_batch_norm_legit.no_stats,
        aten.sym_size.int,
        aten.upsample_nearest2d.vec,
        math.ceil,
    ],
    ids=str,
)
def test_a_name_leads_back(target: Any) -> None:
    assert operator_named(name_of(target)) is target


@pytest.mark.parametrize(
    "target",
    [
        aten.rand.default,
        aten.relu_.default,
        aten.set_.source_Tensor,
        aten.from_file.default,
        aten._native_batch_norm_legit.default,
        print,
    ],
    ids=str,
)
def test_what_does_more_than_compute_has_no_name(target: Any) -> None:
    with pytest.raises(NotSerializable, match=r"the operator aten\.|the function"):
        name_of(target)


@pytest.mark.parametrize(
    "name",
    ["", "aten", "aten.no_such", "aten.gelu.no", "aten.__init__.default", "prim.device.default"],
)
def test_other_names_lead_nowhere(name: str) -> None:
    with pytest.raises(MalformedFile, match="the operator"):
        operator_named(name)
