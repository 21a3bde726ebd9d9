"""A missing package is named with the extra that brings it."""

import onnx
import pytest

import openwork as ow
from openwork.interchange.packages import package


def test_packages() -> None:
    assert package("onnx") is onnx
    with pytest.raises(ow.MissingPackageError, match=r"no_such: pip install openwork\[onnx\]"):
        package("no_such")
