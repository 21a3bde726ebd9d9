"""`Plan`: rules, seeds, files, and errors that say what would match."""

from pathlib import Path

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan, SparseLinear, sparsify_
from openwork.patterns import PatternSpec, dense, grouped, layer_seed, random, scatter

RANDOM = {"pattern": "random", "density": 0.25}


def _model() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2)),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def test_globs_reach_layers_by_name_and_kind() -> None:
    model = _model()
    assert list(Plan({"*": RANDOM}).resolve(model)) == ["0.0", "0.1", "2"]
    assert list(Plan({"conv:*": RANDOM}).resolve(model)) == ["0.0", "0.1"]
    assert list(Plan({"linear:*": RANDOM}).resolve(model)) == ["2"]
    assert list(Plan({"0.*": RANDOM}).resolve(model)) == ["0.0", "0.1"]
    assert list(Plan({"?": RANDOM}).resolve(model)) == ["2"]


def test_the_last_rule_that_matches_counts() -> None:
    chosen = Plan({"*": RANDOM, "0.0": "dense"}).resolve(_model())
    assert chosen["0.0"] == dense(8, 3, 3)
    assert chosen["2"].density == 0.25
    assert Plan({"0.0": "dense", "*": RANDOM}).resolve(_model())["0.0"].density < 1


def test_each_layer_draws_from_its_own_seed() -> None:
    chosen = Plan({"*": RANDOM}, seed=5).resolve(_model())
    assert chosen["0.1"] == random(8, 8, 3, 0.25, groups=2, seed=layer_seed(5, "0.1"))
    alone = Plan({"0.1": RANDOM}, seed=5).resolve(_model())
    assert alone["0.1"] == chosen["0.1"]
    assert Plan({"*": RANDOM}, seed=6).resolve(_model())["0.1"] != chosen["0.1"]


def test_specs_and_patterns_are_rules_too() -> None:
    own = random(4, 8, (), 0.5, seed=9)
    plan = Plan({"0.1": PatternSpec.of("block", density=0.5, b_out=2), "2": own})
    chosen = plan.resolve(_model())
    assert chosen["2"] == own
    assert chosen["0.1"].shape == (8, 4, 3, 3)


def test_where_asks_a_predicate() -> None:
    model = _model()
    plan = Plan.where(model, lambda name, m: isinstance(m, nn.Linear), RANDOM, seed=3)
    assert plan == Plan({"2": RANDOM}, seed=3)
    with pytest.raises(PlanError, match="holds for no layer"):
        Plan.where(model, lambda name, m: False, RANDOM)


def test_the_plan_of_a_sparse_model_gives_its_patterns_again() -> None:
    model = _model()
    chosen = Plan({"*": RANDOM, "0.0": "dense"}).resolve(model)
    sparsify_(model, Plan({"*": RANDOM, "0.0": "dense"}))
    again = Plan.of(model).resolve(_model())
    assert again == {name: chosen[name] for name in ("0.1", "2")}
    with pytest.raises(PlanError, match="no sparse layer"):
        Plan.of(_model())


def test_a_plan_survives_a_file(tmp_path: Path) -> None:
    plan = Plan({"conv:*": RANDOM, "0.0": "dense", "2": random(4, 8, (), 0.5)}, seed=11)
    plan.to_yaml(tmp_path / "plan.yaml")
    for source in (tmp_path / "plan.yaml", str(tmp_path / "plan.yaml"), plan.to_yaml()):
        again = Plan.from_yaml(source)
        assert again == plan
        assert hash(again) == hash(plan)
        assert again.resolve(_model()) == plan.resolve(_model())
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "at least one layer glob"),
        ([], "at least one layer glob"),
        ({3: "dense"}, "layer glob 3 must be a name"),
        ({"dense:*": "dense"}, "may have only conv or linear before its colon"),
        ({"*": "sparse"}, "unknown pattern 'sparse'"),
        ({"*": {"pattern": "random", "density": 1.5}}, r"`density`=1.5 must lie in \(0, 1\]"),
        ({"*": {"pattern": "random", "density": 0}}, r"`density`=0 must lie in \(0, 1\]"),
        ({"*": {"pattern": "random", "density": -0.1}}, "must lie in"),
        ({"*": {"shape": [2, 2], "groups": 1, "unit": "tap", "gaps": "x"}}, "must begin with"),
        ({"a:b": "dense"}, r"write \[:\] for a colon"),
    ],
)
def test_a_plan_that_no_model_could_take_is_refused_at_once(layers: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(layers)


def test_a_colon_may_be_part_of_a_name() -> None:
    model = nn.Sequential()
    model.add_module("conv:a", nn.Linear(4, 4))
    model.add_module("b:[c]*", nn.Linear(4, 4))
    plan = Plan.where(model, lambda name, module: True, {"pattern": "random", "density": 0.5})
    assert set(plan.resolve(model)) == {"conv:a", "b:[c]*"}
    assert set(Plan({"linear:b[:]*": "dense"}).resolve(model)) == {"b:[c]*"}


def test_a_bad_seed_is_refused() -> None:
    with pytest.raises(PlanError, match="`seed`=-1"):
        Plan({"*": "dense"}, seed=-1)


def test_a_colon_in_a_name_is_part_of_the_name() -> None:
    layers = {"a:b": nn.Linear(4, 4), "linear:c": nn.Linear(4, 4), "c": nn.Linear(4, 4)}
    model = nn.ModuleDict(layers)
    for name in layers:
        plan = Plan.where(model, lambda found, _, name=name: found == name, RANDOM)
        assert list(plan.resolve(model)) == [name]
    assert list(Plan({"linear:a[:]*": RANDOM}).resolve(model)) == ["a:b"]
    assert list(Plan.budget(model, 0.5).resolve(model)) == list(layers)
    of_all = Plan({"linear:*": RANDOM})
    assert next(iter(Plan.of(sparsify_(model, of_all)).layers)) == "a[:]b"


def test_the_plan_of_a_single_layer_is_refused() -> None:
    with pytest.raises(PlanError, match=r"itself a sparse layer.*take its `pattern`"):
        Plan.of(SparseLinear(random(4, 4, (), 0.5)))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"0.9": RANDOM}, r"matches no layer; closest are '0.1', '0.0' of 3"),
        ({"linear:0.*": RANDOM}, "matches no layer"),
        ({"2": {"pattern": "block", "b_out": 3}}, r"layer '2' \(rule '2'\): `b_out`=3 must divide"),
        ({"2": dense(4, 9)}, r"layer '2' has a weight of shape \(4, 8\)"),
        ({"0.1": dense(8, 4, 3)}, r"in 2 groups, but rule '0.1' gives it a pattern of"),
    ],
)
def test_a_plan_that_does_not_fit_the_model_is_refused(layers: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(layers).resolve(_model())


def test_a_glob_that_only_meets_layers_left_alone_says_why() -> None:
    class Other(nn.Linear):
        pass

    model = nn.Sequential(Other(4, 4), nn.Linear(4, 4))
    with pytest.raises(PlanError, match="'0', but Other is not a plain layer"):
        Plan({"0": RANDOM}).resolve(model)
    with pytest.raises(PlanError, match=r"the model itself.*wrap it in nn.Sequential"):
        Plan({"*": RANDOM}).resolve(nn.Linear(4, 4))
    with pytest.raises(PlanError, match="no layer to make sparse"):
        Plan({"*": RANDOM}).resolve(nn.Sequential(nn.ReLU()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers:\n  a: dense\n  a: dense\n", "line 3 gives 'a' a second time"),
        ("layers: [\n", "not YAML"),
        ("- 1\n- 2\n", "must hold a mapping, found list"),
        ("layers:\n  a: dense\nsede: 3\n", r"found \['layers', 'sede'\]"),
        ("seed: 3\n\n", r"found \['seed'\]"),
        ("layers: !!python/object/apply:os.system ['true']\n", "not YAML"),
        ("layers:\n  a: dense\nseed: x\n", "`seed`='x'"),
        (
            "layers:\n  ? [a, b]\n  : dense\n",
            r"line 2 has the key \[\.\.\.\]; a key must be a single word",
        ),
        ("layers:\n  a: &x {pattern: ssc}\n  b: {<<: *x}\n", "line 3 merges with `<<`"),
        ("layers: &a\n  x: *a\n", "nested more than 50 deep"),
        ("layers:\n  a: " + "[" * 2000 + "]" * 2000, "not YAML: RecursionError"),
        ("layers:\nseed: " + "1" * 5000, "a number of 5000 characters; at most 1000"),
        ("layers:\nseed: 0x" + "1" * 5000, "a number of 5002 characters; at most 1000"),
        ("layers:\nseed: 2020-13-45", "not YAML: ValueError: month"),
        ("layers:\nseed: !!int foo", "not YAML: ValueError"),
        ("layers:\nseed: 0x_", "not YAML: ValueError"),
        ("layers:\nseed: !!bool foo", "not YAML: KeyError"),
        ("layers:\nseed: !!timestamp foo", "not YAML: AttributeError"),
        ("a\0b", "cannot be read"),
    ],
    ids=range(19),
)
def test_a_bad_plan_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan.from_yaml(text)


def test_aliases_serve_as_long_as_they_stay_small() -> None:
    shared = Plan.from_yaml("layers:\n  a: &x {pattern: ssc, taps: 2}\n  b: *x\n")
    assert shared.layers["a"] == shared.layers["b"] == PatternSpec.of("ssc", taps=2)
    tens = [f"&a{n} [{','.join([f'*a{n - 1}' if n else 'x'] * 10)}]" for n in range(8)]
    with pytest.raises(PlanError, match=r"its aliases make it too large.{,40}$"):
        Plan.from_yaml(f"layers: [{', '.join(tens)}]\n")


@pytest.mark.parametrize(
    "text",
    ['layers: {"2": dense}', '{"layers": {"2": "dense"}}', "seed : 0\nlayers: {'2': dense}"],
)
def test_a_text_may_be_one_line(text: str) -> None:
    assert Plan.from_yaml(text) == Plan({"2": "dense"})


@pytest.mark.parametrize("name", ["layers", "layers.yaml", "seed", "my layers: a", ""])
def test_a_name_is_not_a_text(name: str) -> None:
    with pytest.raises(PlanError, match=rf"^plan '{name}' cannot be read"):
        Plan.from_yaml(name)


def test_a_missing_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none.yaml.* cannot be read"):
        Plan.from_yaml(tmp_path / "none.yaml")


def test_scatter_judges_the_linear_layers_as_planned() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(16, 32), nn.Linear(32, 8))
    local = {"pattern": "grouped", "groups": 4}
    found = Plan({"2": local, "3": local}).scatter(model)
    assert found.vector == scatter([grouped(32, 16, groups=4), grouped(8, 32, groups=4)]).vector
    assert found.minimum == 0.25
    mixed = Plan({"2": local}).scatter(model, inputs=5)
    assert mixed.vector[2:] == (1, 1, 1, 1)
    assert mixed.entries[1].neurons == 5


def test_scatter_needs_linear_layers_that_follow_each_other() -> None:
    with pytest.raises(PlanError, match="Sequential has no linear layer"):
        Plan({"*": RANDOM}).scatter(nn.Sequential(nn.Conv2d(3, 8, 3)))
    with pytest.raises(ArgumentError, match="junction 2 reads 9 neurons, but 8 come before it"):
        Plan({"0": RANDOM}).scatter(nn.Sequential(nn.Linear(8, 8), nn.Linear(9, 4)))


def test_the_preview_shows_what_would_happen_and_changes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = _model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    table = Plan({"conv:*": RANDOM, "0.0": "dense"}).preview(model, torch.zeros(2, 3, 5, 5))
    printed = capsys.readouterr().out
    assert all(heading in printed for heading in table.columns)
    assert table.column("layer") == ["0.0", "0.1", "2"]
    assert table.column("dense") == [216, 288, 32]
    assert table.column("live") == [216, 72, 32]
    assert table.column("dense MACs") == [216 * 9, 288, 32]
    assert table.column("live MACs") == [216 * 9, 72, 32]
    assert table.total is not None
    assert table.total[-2:] == (216 * 9 + 320, 216 * 9 + 104)
    assert [type(m) for m in model.modules()] == [type(m) for m in _model().modules()]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_preview_names_what_is_left_and_why() -> None:
    model = sparsify_(_model(), Plan({"2": RANDOM}))
    table = Plan({"conv:*": RANDOM}).preview(model)
    assert table.notes == ("left as it is: 2: it is sparse already; densify_ it first",)
