"""Geometries and activations as the extension takes them."""

import dataclasses
from typing import get_args

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from openwork.kernels.problem import Activation, Geometry
from openwork.kernels.to_native import geometry_refusal, native_activation, native_geometry

# No two sizes that could be mistaken for each other are equal.
GEOMETRY = Geometry(4, 7, (20, 31), (3, 5), (2, 1), (1, 2), (3, 4))
SIZES = {
    "in_channels": 4,
    "out_channels": 7,
    "height": 20,
    "width": 31,
    "kernel_y": 3,
    "kernel_x": 5,
    "stride_y": 2,
    "stride_x": 1,
    "pad_y": 1,
    "pad_x": 2,
    "dilation_y": 3,
    "dilation_x": 4,
    "out_height": 8,
    "out_width": 19,
}


def test_each_size_has_its_place() -> None:
    native = native_geometry(GEOMETRY)
    assert {name: getattr(native, name) for name in SIZES} == SIZES


def test_sizes_within_the_bounds_are_not_refused() -> None:
    assert geometry_refusal(GEOMETRY) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"kernel": (3, 40)}, "out_width"),
        ({"stride": (1 << 20, 1)}, "stride_y"),
        ({"dilation": (1, 1 << 20)}, "dilation_x"),
    ],
)
def test_a_refusal_names_the_size(change: dict[str, int | tuple[int, int]], name: str) -> None:
    changed = dataclasses.replace(GEOMETRY, **change)
    refusal = geometry_refusal(changed)
    assert refusal is not None
    assert name in refusal
    with pytest.raises(ValueError, match=name):
        native_geometry(changed)


@pytest.mark.parametrize("name", get_args(Activation))
def test_an_activation_is_found_by_its_name(name: Activation) -> None:
    assert native_activation(name).name == name
