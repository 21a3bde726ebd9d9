"""What a table of training times says, from given numbers."""

import json

from openwork.nn import LayerDirection, LayerTimes, TrainingTimes

FAST = LayerDirection("f32-conv-spmm", "", 2.0, 8.0)
SLOW = LayerDirection("reference", "float64: kernels compute float32", 3.0, 2.0)
TIMES = TrainingTimes(
    (
        LayerTimes("a", "SparseConv2d", (8, 4, 3, 3), (2, 4, 6, 6), 0.25, FAST, None, FAST),
        LayerTimes("b", "SparseLinear", (10, 8), (2, 8), 0.5, SLOW, SLOW, None),
    ),
    threads=2,
    idle=("c",),
)


def test_each_direction_that_a_step_needs_has_a_row() -> None:
    table = TIMES.table()
    assert table.column("layer") == ["a", "a", "b", "b"]
    assert table.column("direction") == [
        "forward",
        "weight's gradient",
        "forward",
        "input's gradient",
    ]
    assert table.column("weight")[::2] == ["8x4x3x3", "10x8"]
    assert table.column("ratio") == [4, 4, 2 / 3, 2 / 3]


def test_the_sum_and_the_reasons_are_below() -> None:
    assert (TIMES.milliseconds, TIMES.dense_milliseconds) == (10, 20)
    text = str(TIMES)
    assert "2 threads" in text
    assert "reference, float64: kernels compute float32: 'b (forward)', 'b (input)'" in text
    assert "did not run: c" in text


def test_it_is_plain_data() -> None:
    held = json.loads(json.dumps(TIMES.to_dict()))
    assert held["layers"][0]["forward"]["kernel"] == "f32-conv-spmm"
    assert held["layers"][0]["by_input"] is None
    assert held["threads"] == 2
