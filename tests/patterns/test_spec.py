"""`PatternSpec`: patterns by name."""

import pytest

from openwork.errors import PlanError
from openwork.patterns import PatternSpec, block, dense, random


def test_a_spec_builds_what_its_generator_draws() -> None:
    spec = PatternSpec.of("random", density=0.2, fan="uniform")
    assert spec.build((8, 6, 3, 3), 2, 5) == random(8, 12, 3, 0.2, "uniform", groups=2, seed=5)
    assert PatternSpec("dense").build((8, 6), 1, 5) == dense(8, 6)
    made = PatternSpec.of("block", density=0.5, b_out=2).build((8, 6), 1, 5)
    assert made == block(8, 6, (), 0.5, 2, seed=5)


@pytest.mark.parametrize("data", ["dense", {"pattern": "random", "density": 0.1}])
def test_specs_are_data(data: object) -> None:
    spec = PatternSpec.from_data(data)
    assert spec.to_data() == data
    assert PatternSpec.from_data(spec.to_data()) == spec
    assert hash(spec) == hash(PatternSpec.from_data(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("randon", "did you mean 'random'"),
        ({"pattern": "random", "densty": 0.1}, "did you mean 'density'"),
        ({"pattern": "dense", "density": 0.1}, "there is none"),
        ({"pattern": "random", "density": 0}, r"must lie in \(0, 1\]"),
        ({"pattern": "random", "density": "0.1"}, r"must lie in \(0, 1\]"),
        ({"pattern": "random", "seed": 3}, "no parameter 'seed'"),
        ({"pattern": "block", "b_out": 0}, "`b_out`=0"),
        ({"pattern": "random", "fan": "wide"}, "`fan`='wide'"),
        ({"density": 0.1}, "is not a pattern"),
        (3, "is not a pattern"),
    ],
)
def test_bad_specs_are_refused_before_any_layer_is_seen(data: object, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        PatternSpec.from_data(data)
