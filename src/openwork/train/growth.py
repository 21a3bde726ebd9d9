"""`GrowthSchedule`: the density of a network that starts very sparse and doubles as it trains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from torch import nn

from openwork._arguments import check_choice, check_count, check_density
from openwork._yaml import load_mapping
from openwork.errors import ArgumentError
from openwork.nn import grow_
from openwork.nn.change.grow import INITS, check_can_grow
from openwork.nn.change.optimizers import Optimizers
from openwork.nn.cost import live_weights


@dataclass(frozen=True)
class GrowthSchedule:
    """The density doubles every `every` steps, up to a limit.

    Part of a `Recipe` (`growth`), and also for your own training loop:

        schedule = GrowthSchedule(start=0.01, every=10_000)
        for step, (images, labels) in enumerate(batches):
            schedule.step(model, optimizer, step)
            ...

    It keeps no state, so a resumed loop continues correctly from any step.

    Args:
        start: density before the first doubling, in (0, 1]: that of the plan.
        every: training steps between two doublings, at least 1.
        until: the final density, default 1.
        init: how new weights start, "zero" (default) or "original", as in `grow_`.

    Raises:
        ArgumentError: a value outside its range.

    Source: incremental training in "The Power of Sparsity in Convolutional Neural Networks"
    (2017): from 1 % or 0.1 %, doubled every 10,000, 25,000 or 50,000 steps.
    """

    start: float
    every: int
    until: float = 1.0
    init: str = "zero"

    def __post_init__(self) -> None:
        check_density(self.start, "start")
        check_density(self.until, "until")
        check_count("every", self.every)
        check_choice("init", self.init, INITS)
        if self.until < self.start:
            raise ArgumentError(
                f"`until`={self.until} must be at least `start`={self.start}: connections only grow"
            )

    def density(self, step: int) -> float:
        """The density at training step `step` (from 0)."""
        # After 1,023 doublings a float would overflow; the limit is reached long before.
        return min(self.until, self.start * 2.0 ** min(step // self.every, 1000))

    def step(self, model: nn.Module, optimizer: Optimizers, step: int) -> bool:
        """Grow `model` if a doubling is due. Call before each training step.

        Args:
            model: as for `grow_`.
            optimizer: the optimiser that trains it, or several.
            step: number of the next training step, from 0.

        Returns:
            Whether parameters became longer; DistributedDataParallel must then wrap the model
            again.

        Raises:
            ArgumentError: as for `grow_`; at step 0 also if the model cannot grow to `until`.
        """
        if step % self.every:
            return False
        if step == 0:
            check_can_grow(model, self.until)
        before = live_weights(model)
        grow_(model, self.density(step), optimizer, init=self.init)
        return live_weights(model) > before

    def to_dict(self) -> dict[str, Any]:
        """The schedule as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; `until` and `init` may be left out.

        Raises:
            ArgumentError: `start` or `every` is missing, a key is unknown, or a value is out of
                range.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(data, Mapping) or not {"start", "every"} <= set(data) <= set(names):
            raise ArgumentError(
                f"`growth`={data!r} must have start and every, and may have until and init, as in "
                "{start: 0.01, every: 1000}"
            )
        return cls(**data)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The schedule in a text such as `start=0.01,every=1000,until=0.5`.

        Raises:
            ArgumentError: another form, or as for `from_dict`.
        """
        try:
            return cls.from_dict(load_mapping("{" + text.replace("=", ": ") + "}"))
        except ArgumentError as error:
            raise ArgumentError(f"growth {text!r}: {error}") from error
