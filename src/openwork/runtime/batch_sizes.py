"""`BatchSizes`: which batch sizes a network takes."""

import ast
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LONGEST = 1000


@dataclass(frozen=True)
class BatchSizes:
    """The batch sizes that may be given.

    Attributes:
        least, most: bounds, inclusive; `most` is None for no upper bound.
        conditions: comparisons in Python of whole numbers and `batch` that must hold too.

    Raises:
        ValueError: a condition is anything else.
    """

    least: int = 1
    most: int | None = None
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for condition in self.conditions:
            _parsed(condition)

    @classmethod
    def of(cls, size: int) -> "BatchSizes":
        """That size alone."""
        return cls(size, size)

    @property
    def only(self) -> int | None:
        """The only size that may be given; None if there are more."""
        return self.least if self.least == self.most else None

    def __contains__(self, batch: int) -> bool:
        within = self.least <= batch and (self.most is None or batch <= self.most)
        return within and self.unmet(batch) is None

    def unmet(self, batch: int) -> str | None:
        """The first condition that does not hold for `batch`."""
        return next((each for each in self.conditions if not _holds(each, batch)), None)

    def __str__(self) -> str:
        if self.only is not None:
            return str(self.only)
        if self.most is None:
            return "any batch" if self.least == 1 else f"{self.least} or more"
        return f"{self.least} to {self.most}"

    @property
    def limits(self) -> str:
        """In words, which may be given; empty if any may."""
        where = f" where {' and '.join(self.conditions)}" if self.conditions else ""
        return "" if self == BatchSizes() else f"takes batches of {self}{where}"


@functools.lru_cache(maxsize=4096)
def _holds(condition: str, batch: int) -> bool:
    try:
        return bool(_value(_parsed(condition), batch))
    except ZeroDivisionError:
        return False


@functools.lru_cache(maxsize=256)
def _parsed(condition: str) -> ast.expr:
    """The condition as a tree of nothing but what `_value` knows."""
    if len(condition) > _LONGEST:
        raise ValueError(f"a condition of {len(condition)} characters is longer than {_LONGEST}")
    try:
        tree = ast.parse(condition, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{condition!r} is not a condition on a batch size") from error
    _value(tree, None)
    return tree


def _value(tree: ast.expr, batch: int | None) -> Any:
    """What `tree` gives; without a `batch`, only whether it is known.

    Files hold conditions: nothing but this little arithmetic is ever computed for them.
    """
    match tree:
        case ast.Name(id="batch"):
            return batch
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(sign, operand):
            parts = [operand]
        case ast.BinOp(left, sign, right) | ast.Compare(left, [sign], [right]):
            parts = [left, right]
        case ast.BoolOp(sign, parts):
            pass
        case _:
            raise ValueError(f"{ast.unparse(tree)} is not a condition on a batch size")
    if type(sign) not in _OPERATORS:
        raise ValueError(f"{ast.unparse(tree)} is not a condition on a batch size")
    values = [_value(part, batch) for part in parts]
    return None if batch is None else _OPERATORS[type(sign)](*values)


_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.And: lambda *values: all(values),
    ast.Or: lambda *values: any(values),
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
