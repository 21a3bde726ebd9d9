"""What files cannot hold."""

from collections import namedtuple
from typing import Any

import pytest

from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import NotSerializable

Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("item", [object(), 1j, {1, 2}, Pair(1, 2)], ids=lambda i: type(i).__name__)
def test_other_things_are_refused(item: Any) -> None:
    with pytest.raises(NotSerializable, match=r"^a "):
        Encoder().encode([item])
