"""The packing of bytes that each processor's costs choose: the cheaper one, with the same sums."""

import numpy as np
import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from openwork.kernels.narrow.byte_costs import byte_costs
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry

VNNI = "avx512vnni"


def _geometry(side: int, kernel: int = 1) -> Geometry:
    return Geometry(16, 16, (side, side), (kernel, kernel), padding=(kernel // 2, kernel // 2))


def _halved(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(_C, "halves_vectors", lambda isa: answer)


def test_processors_that_halve_vectors_pay_twice_for_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _halved(monkeypatch, False)
    fast = byte_costs(VNNI, _geometry(9, 3), plain=False)
    _halved(monkeypatch, True)
    slow = byte_costs(VNNI, _geometry(9, 3), plain=False)
    assert slow.product[8] > 1.5 * fast.product[8]
    # So what is not multiplied in vain may cost more to bring together.
    assert fast.direct[8] > 1.5 * fast.product[8]
    assert slow.direct[8] < 1.2 * slow.product[8]


@pytest.mark.parametrize(("side", "direct"), [(45, True), (46, False)])
def test_plain_layers_of_large_maps_store_their_columns(side: int, direct: bool) -> None:
    """45 * 45 < 2048 < 46 * 46."""
    assert side**2 <= _C.most_direct_map or not direct
    assert bool(byte_costs(VNNI, _geometry(side), plain=True).direct) == direct
    assert byte_costs(VNNI, _geometry(side, 3), plain=False).direct


def test_only_the_one_block_of_a_group_is_read_directly() -> None:
    costs = byte_costs(VNNI, _geometry(9, 3), plain=False)
    one, two = costs.of(np.array([1, 2]), 8)
    assert one == costs.direct[8]
    assert two == costs.interleave + 2 * costs.product[8]
    # Blocks of one filter never are.
    assert costs.of(np.array([1]), 1) == [costs.interleave + costs.product[1]]
