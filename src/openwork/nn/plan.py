"""`Plan`: which layer of a model gets which pattern. Data, not code."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import yaml
from torch import nn

from openwork._arguments import check_seed
from openwork._files import read_text, why, write_text, writing
from openwork._yaml import load_mapping
from openwork.errors import ArgumentError, PlanError
from openwork.nn.budget import budget, budget_arguments
from openwork.nn.globs import check_glob, escape, matches, nothing_matched
from openwork.nn.layers import Dense, dense_layers, sparse_layers
from openwork.nn.preview import preview
from openwork.nn.sparse_layer import groups_of, pattern_shape
from openwork.nn.table import Table
from openwork.nn.timing.timed_budget import timed_budget
from openwork.patterns import Pattern, PatternSpec, Scatter, Windows, dense, layer_seed, scatter


@runtime_checkable
class Cuttable(Protocol):
    """What `prune.sensitivity` measured, as far as a plan needs it."""

    def plan(self, loss: float) -> "Plan":
        """The plan that cuts each layer within `loss`."""
        ...


@dataclass(frozen=True)
class Plan:
    """Rules from layer names to patterns; if several match a layer, the last one applies.

    Args:
        layers: glob -> pattern. A glob is matched against the qualified name of every
            `torch.nn.Conv1d`, `Conv2d` and `Linear`; `*` also matches dots, and a prefix `conv:` or
            `linear:` restricts it to that type of layer. A pattern is a name ("dense"), a mapping
            (`{"pattern": "random", "density": 0.1}`), a `PatternSpec`, or a `Pattern` of the shape
            of the layer's weight; kernels of a 1-D convolution have one row.
        seed: whole number >= 0, default 0. Each layer's own seed is derived from this one and the
            layer's name, so adding or removing other layers does not change its pattern.

    Raises:
        PlanError: no rules, an unknown pattern or parameter, or a density outside (0, 1].

    >>> plan = Plan({"conv:*": {"pattern": "random", "density": 0.25}, "0": "dense"})
    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    >>> plan.resolve(model)["2"]
    Pattern(32x16x3x3: 1152 live, density 0.25)
    """

    layers: Mapping[str, Any]
    seed: int = 0
    _rules: tuple[tuple[str, Pattern | PatternSpec], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.layers, Mapping) or not self.layers:
            raise PlanError(
                f"`layers`={self.layers!r} must map at least one layer glob to a pattern, such as "
                '{"conv:*": {"pattern": "random", "density": 0.1}}'
            )
        try:
            check_seed(self.seed)
            rules = tuple((check_glob(g), _pattern(value)) for g, value in self.layers.items())
        except PlanError:
            raise
        except ArgumentError as error:
            raise PlanError(str(error)) from error
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "layers", dict(rules))

    def __hash__(self) -> int:
        return hash((self._rules, self.seed))

    @classmethod
    def where(
        cls,
        model: nn.Module,
        predicate: Callable[[str, nn.Module], bool],
        pattern: Any,
        seed: int = 0,
    ) -> Self:
        """The plan that gives `pattern` to every layer for which `predicate(name, module)` holds.

        Args:
            model: any module; it is only read.
            predicate: called with each layer that can be made sparse.
            pattern: as a value of `layers`.
            seed: as for `Plan`.

        Raises:
            PlanError: `predicate` holds for no layer.
        """
        names = [name for name, module in dense_layers(model).items() if predicate(name, module)]
        if not names:
            raise PlanError(
                "`predicate` holds for no layer of the model that can be made sparse; check it "
                "against `model.named_modules()`"
            )
        return cls({escape(name): pattern for name in names}, seed=seed)

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """The plan that gives a dense copy of `model` the patterns of `model`.

        Raises:
            PlanError: `model` has no sparse layer, or is itself a sparse layer.
        """
        layers = sparse_layers(model)
        if not layers:
            raise PlanError(f"{type(model).__name__} has no sparse layer; sparsify_ it first")
        if "" in layers:
            raise PlanError(
                "`model` is itself a sparse layer, and a plan is for the layers in a model; take "
                "its `pattern`, or wrap it in nn.Sequential"
            )
        return cls({escape(name): layer.pattern for name, layer in layers.items()})

    @classmethod
    def budget(
        cls,
        model: nn.Module,
        density: float | None = None,
        by: str = "uniform",
        keep: Sequence[str] = (),
        example: Any = None,
        pattern: str | Mapping[str, Any] = "random",
        seed: int = 0,
        *,
        milliseconds: float | None = None,
    ) -> Self:
        """The plan that spreads the density of the whole `model` over its layers.

        Every layer keeps at least one connection in and out of each channel. With the same rule,
        layers and seed, the patterns of a smaller density lie inside those of a larger one.

        A budget in `milliseconds` is what a call of the compiled network takes on this machine.
        The network is compiled at ten densities, which measures what each layer takes; kernels
        are remembered as in `openwork.compile`. Starting from the sparsest plan, the step that
        adds most for its time is taken until the time is spent. A layer is worth
        -weights * rule**2 / density, so that layers whose weights take long are sparser. Then the
        whole network is measured and the plan corrected until it is within 5 %.

        Args:
            model: any module; its convolutions and linear layers that can be made sparse share the
                budget.
            density: live / all weights over these layers, in (0, 1], default 0.1 without
                `milliseconds`; with "macs" the same ratio of their multiply-adds.
            by: how the density is spread; no layer exceeds 1.
                "uniform" (default): the same density everywhere.
                "erk": proportional to the sum of the weight's sides over their product, so small
                layers are denser.
                "late_dense": proportional to the layer's position, so later layers are denser.
                "macs": inversely proportional to the square root of how often an image uses each
                weight, so early layers with their large feature maps are sparser.
            keep: globs of layers that stay dense; their weights count towards the density.
            example: an input batch `(N, ...)`, or several inputs, needed for "macs" and
                `milliseconds`.
            pattern: the kind drawn in every layer, "random" (default) or "block", or a mapping such
                as `{"pattern": "block", "b_out": 8}`. Its `fan` is "uniform" by default; "fixed"
                allows only steps that are too coarse for some budgets of small networks.
            seed: as for `Plan`.
            milliseconds: the time that the compiled network is to take for `example`, with the
                number of threads that torch uses now; in place of `density`, and not with "macs".

        Raises:
            PlanError: a glob matches nothing, or the pattern has no density.
            ArgumentError: no plan comes within 1 % of `density`, or the network cannot be as fast
                (the message says what is feasible, and what holds it back), an unknown rule, or no
                `example` where one is needed.
            OpenworkError: the times vary too much to come within 5 % of `milliseconds`.

        Source: "erk" is the Erdős-Rényi-Kernel rule of "Rigging the Lottery" (Evci et al. 2020).
        That density should rise towards the output is recalled, unverified, from "Pre-Defined
        Sparse Neural Networks with Hardware Acceleration" (Dey et al. 2019); the linear rise is
        ours. "macs" is ours: for a given number of multiply-adds it minimises the sum of
        1 / density over all weights.
        """
        if milliseconds is None:
            specs = budget(model, 0.1 if density is None else density, by, keep, example, pattern)
        elif density is None:
            specs = timed_budget(model, milliseconds, by, keep, example, pattern, seed)
        else:
            raise ArgumentError(
                f"`density`={density!r} and `milliseconds`={milliseconds!r} are two budgets; "
                "give one of them"
            )
        return cls({escape(name): spec for name, spec in specs.items()}, seed=seed)

    @classmethod
    def from_sensitivity(cls, result: "Cuttable", *, loss: float) -> "Plan":
        """The plan that cuts each layer as far as the error rises by at most `loss`.

        Each layer was cut alone, so with all of them cut the error rises by more: retrain after
        `prune.apply_`, or allow less.

        Args:
            result: from `prune.sensitivity`.
            loss: how much the error may rise by a cut of one layer, such as 0.01.

        Returns:
            For each layer the largest ratio that was measured with such an error, as explicit
            patterns of the dense weights' shapes. Layers that stay whole are left out.

        Raises:
            ArgumentError: no layer can be cut within `loss`, or `result` is something else.
        """
        if not isinstance(result, Cuttable):
            raise ArgumentError(f"`result`={result!r:.60} must be what `prune.sensitivity` returns")
        return result.plan(loss)

    def resolve(self, model: nn.Module) -> dict[str, Pattern]:
        """The pattern of each layer that a rule matches, by qualified name. Changes nothing.

        Raises:
            PlanError: a glob matches no layer, or a pattern does not fit its layer.
        """
        layers = dense_layers(model)
        return {
            name: _fit(name, glob, rule, layers[name], layer_seed(self.seed, name))
            for name, (glob, rule) in self._choose(model, layers).items()
        }

    def specs(self, model: nn.Module) -> dict[str, tuple[PatternSpec, int]]:
        """What `resolve` draws each pattern from: the spec and the layer's own seed, by name.

        Layers whose rule is a `Pattern` are left out, because nothing is drawn for them.

        Raises:
            PlanError: a glob matches no layer.
        """
        return {
            name: (rule, layer_seed(self.seed, name))
            for name, (_, rule) in self._choose(model, dense_layers(model)).items()
            if isinstance(rule, PatternSpec)
        }

    def _choose(
        self, model: nn.Module, layers: Mapping[str, Dense]
    ) -> dict[str, tuple[str, Pattern | PatternSpec]]:
        chosen: dict[str, tuple[str, Pattern | PatternSpec]] = {}
        for glob, rule in self._rules:
            matched = [name for name, module in layers.items() if matches(glob, name, module)]
            if not matched:
                raise PlanError(nothing_matched(glob, model, layers))
            chosen |= dict.fromkeys(matched, (glob, rule))
        return chosen

    def preview(self, model: nn.Module, example: Any = None) -> Table:
        """Print and return a table of what the plan would do to `model`. Changes nothing.

        Args:
            model: any module; it is only read.
            example: an input batch `(N, ...)`, or several inputs as in `openwork.compile`; with it
                the table also counts MACs per image.

        Raises:
            PlanError: as for `resolve`.
        """
        table = preview(model, self.resolve(model), example)
        table.print()
        return table

    def scatter(
        self,
        model: nn.Module,
        windows: Sequence[tuple[Windows | None, Windows | None]] | None = None,
        *,
        inputs: int | None = None,
        outputs: int | None = None,
    ) -> Scatter:
        """How evenly the plan spreads the connections of the linear layers. Changes nothing.

        Linear layers that no rule matches count as dense; convolutions are ignored.

        Args:
            model: its linear layers are the junctions, in the order of `named_modules`.
            windows, inputs, outputs: as for `patterns.scatter`.

        Raises:
            PlanError: as for `resolve`, or no linear layers.
            ArgumentError: linear layers that do not follow each other, or as for
                `patterns.scatter`.
        """
        chosen = self.resolve(model)
        layers = {n: m for n, m in dense_layers(model).items() if isinstance(m, nn.Linear)}
        if not layers:
            raise PlanError(
                f"{type(model).__name__} has no linear layer; scatter needs at least one"
            )
        junctions = [
            chosen.get(name) or dense(layer.out_features, layer.in_features)
            for name, layer in layers.items()
        ]
        return scatter(junctions, windows, inputs=inputs, outputs=outputs)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {"seed": self.seed, "layers": {glob: _data(rule) for glob, rule in self._rules}}

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], model: nn.Module | None = None, example: Any = None
    ) -> Self:
        """The inverse of `to_dict`; `seed` may be left out.

        Args:
            data: plain data. In place of `layers` it may have a `budget` for `Plan.budget`: the
                share of `parameters` or `macs` that lives, or `milliseconds`, with `by`, `keep`
                and `pattern`.
            model, example: what a budget is for, as in `Plan.budget`.

        Raises:
            PlanError: unknown keys, or as for `Plan` and `Plan.budget`.
        """
        if not isinstance(data, Mapping):
            raise PlanError(f"`data` is a {type(data).__name__}, but must be a dict with `layers`")
        unknown = set(data) - {"seed", "layers", "budget"}
        if unknown or ("layers" in data) == ("budget" in data):
            keys = sorted(map(str, data))
            raise PlanError(f"a plan has `layers` or `budget`, and perhaps `seed`; found {keys}")
        seed = data.get("seed", 0)
        if "budget" not in data:
            return cls(data["layers"], seed=seed)
        if model is None:
            raise PlanError("a `budget` needs `model`, and `example` unless it is of parameters")
        return cls.budget(model, **budget_arguments(data["budget"]), example=example, seed=seed)

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The plan as YAML text, also written to `path` if given.

        Raises:
            OpenworkError: `path` cannot be written.
        """
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, width=100)
        if path is not None:
            with writing(path):
                write_text(path, text)
        return text

    @classmethod
    def from_yaml(
        cls,
        source: str | os.PathLike[str],
        model: nn.Module | None = None,
        example: Any = None,
    ) -> Self:
        """The plan in a YAML file, or in a YAML text: one with a line break, or with a plan's key.

        Args:
            source: path of the file, or the text; its keys are those of `from_dict`.
            model, example: what a `budget` in it is for.

        Raises:
            PlanError: the file does not exist, is not YAML or repeats a key, or as for `from_dict`.
        """
        text, where = str(source), "the plan"
        if "\n" not in text and not _BEGINS.match(text):
            where = f"plan {text!r}"
            try:
                text = read_text(source)
            except (OSError, ValueError) as error:
                raise PlanError(f"{where} cannot be read: {why(error)}") from error
        try:
            return cls.from_dict(load_mapping(text), model, example)
        except ArgumentError as error:
            raise PlanError(f"{where}: {error}") from error


# How the text of a plan begins, of one line.
_BEGINS = re.compile(r"""\s*\{?\s*["']?(layers|budget|seed)["']?\s*:""")


def _pattern(value: Any) -> Pattern | PatternSpec:
    if isinstance(value, Pattern | PatternSpec):
        return value
    if isinstance(value, Mapping) and "gaps" in value:
        return Pattern.from_dict(value)
    return PatternSpec.from_data(value)


def _data(rule: Pattern | PatternSpec) -> Any:
    return rule.to_dict() if isinstance(rule, Pattern) else rule.to_data()


def _fit(name: str, glob: str, rule: Pattern | PatternSpec, module: Dense, seed: int) -> Pattern:
    shape, groups = pattern_shape(module), groups_of(module)
    if isinstance(rule, PatternSpec):
        try:
            return rule.build(shape, groups, seed)
        except ArgumentError as error:
            raise PlanError(f"layer {name!r} (rule {glob!r}): {error}") from error
    if rule.shape != shape or rule.groups != groups:
        raise PlanError(
            f"layer {name!r} has a weight of shape {shape} in {groups} groups, but rule {glob!r} "
            f"gives it a pattern of {rule.shape} in {rule.groups}"
        )
    return rule
