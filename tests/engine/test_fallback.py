"""Operators that are left to torch."""

import numpy as np
import pytest

from openwork.engine.fallback import Fallback
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import check_node
from openwork.runtime.values import Value


def test_its_inputs_are_the_values_among_its_arguments() -> None:
    x, y = Value((2,), "x"), Value((2,), "y")
    check_node(Fallback([x], y, np.add, ([x], 1), {}, ""))
    with pytest.raises(MalformedFile, match=r"Fallback 'y': .* must be its inputs"):
        check_node(Fallback([], y, np.add, (x,), {}, ""))
