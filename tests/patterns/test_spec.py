"""`PatternSpec`: patterns by name."""

import pytest

from openwork.errors import PlanError
from openwork.patterns import (
    KINDS,
    PatternSpec,
    block,
    clash_free,
    dense,
    grouped,
    random,
    ssc,
    structured,
)


def test_a_spec_builds_what_its_generator_draws() -> None:
    spec = PatternSpec.of("random", density=0.2, fan="uniform")
    assert spec.build((8, 6, 3, 3), 2, 5) == random(8, 12, 3, 0.2, "uniform", groups=2, seed=5)
    assert PatternSpec("dense").build((8, 6), 1, 5) == dense(8, 6)
    made = PatternSpec.of("block", density=0.5, b_out=2).build((8, 6), 1, 5)
    assert made == block(8, 6, (), 0.5, 2, seed=5)


def test_every_kind_is_built_with_the_layers_own_sizes() -> None:
    def build(kind: str, **parameters: object) -> object:
        return PatternSpec.of(kind, **parameters).build((8, 6, 3, 3), 2, 5)

    made = {
        "block": (build("block", b_out=2), block(8, 12, 3, b_out=2, groups=2, seed=5)),
        "clash_free": (
            build("clash_free", fan_out=2, z=3, type=2, dither=True),
            clash_free(8, 12, 3, fan_out=2, z=3, type=2, dither=True, groups=2, seed=5),
        ),
        "dense": (build("dense"), dense(8, 12, 3, groups=2)),
        "grouped": (build("grouped", groups=4), grouped(8, 12, 3, groups=4, layer_groups=2)),
        "random": (build("random"), random(8, 12, 3, groups=2, seed=5)),
        "ssc": (
            build("ssc", groups=4, taps=2, shift=3, order="rotating"),
            ssc(8, 12, 3, groups=4, taps=2, shift=3, order="rotating", layer_groups=2),
        ),
        "structured": (
            build("structured", density=0.4, nearest=True),
            structured(8, 12, 3, density=0.4, nearest=True, groups=2, seed=5),
        ),
    }
    assert set(made) == set(KINDS)
    for built, drawn in made.values():
        assert built == drawn


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
        ({"pattern": "dense", "density": 0.1}, "it takes none"),
        ({"pattern": "random", "density": 0}, r"must lie in \(0, 1\]"),
        ({"pattern": "random", "density": "0.1"}, r"must lie in \(0, 1\]"),
        ({"pattern": "random", "seed": 3}, "no parameter 'seed'"),
        ({"pattern": "block", "b_out": 0}, "`b_out`=0"),
        ({"pattern": "random", "fan": "wide"}, "`fan`='wide'"),
        ("clash_free", "needs the parameter 'z'"),
        ({"pattern": "grouped"}, "needs the parameter 'groups'"),
        ({"pattern": "structured"}, "exactly one of the two"),
        ({"pattern": "structured", "density": 0.1, "fan_out": 2}, "exactly one of the two"),
        ({"pattern": "clash_free", "z": 4, "fan_out": 2, "type": 5}, "`type`=5 must be 1, 2 or 3"),
        ({"pattern": "clash_free", "z": 4, "fan_out": 2, "type": 2.0}, "`type`=2.0"),
        ({"pattern": "clash_free", "z": 4, "fan_out": 2, "dither": 1}, "`dither`=1"),
        ({"pattern": "ssc", "taps": 0}, "`taps`=0"),
        ({"pattern": "ssc", "shift": -1}, "`shift`=-1"),
        ({"pattern": "ssc", "order": "mixed"}, "`order`='mixed'"),
        ({"pattern": "ssc", "layer_groups": 2}, "no parameter 'layer_groups'"),
        ({"density": 0.1}, "is not a pattern"),
        (3, "is not a pattern"),
        ({"pattern": "dense", "kind": "grouped"}, "'dense' has no parameter 'kind'"),
        ({"pattern": "dense", "cls": 5}, "no parameter 'cls'"),
        ({"pattern": "dense", 1: 2, "1": {}}, "no parameter '1'"),
    ],
)
def test_bad_specs_are_refused_before_any_layer_is_seen(data: object, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        PatternSpec.from_data(data)


def test_a_kind_is_a_word() -> None:
    with pytest.raises(PlanError, match="unknown pattern 5;"):
        PatternSpec(5)  # type: ignore[arg-type]
