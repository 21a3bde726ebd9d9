"""`BatchSizes`: which batch sizes a network takes."""

import ast
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BatchSizes"]

_LONGEST = 1000


@dataclass(frozen=True)
class BatchSizes:
    """The batch sizes that a network accepts: sizes of axis 0 of each input, (batch, ...).

    Attributes:
        least, most: bounds, both included; `most` is None for no upper bound.
        conditions: Python comparisons of whole numbers and `batch` that must hold too, such as
            "batch % 2 == 0".

    Raises:
        ValueError: a condition contains anything else.
    """

    least: int = 1
    most: int | None = None
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for condition in self.conditions:
            _parsed(condition)

    @classmethod
    def of(cls, size: int) -> "BatchSizes":
        """Only this size."""
        return cls(size, size)

    @property
    def only(self) -> int | None:
        """The only size; None if there are several."""
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
        """The sizes in words; empty if any size is accepted."""
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
    """The condition as a tree that `_value` accepts."""
    if len(condition) > _LONGEST:
        raise ValueError(
            f"a condition has {len(condition)} characters, but at most {_LONGEST} are allowed"
        )
    try:
        tree = ast.parse(condition, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{condition!r} is not a condition on a batch size") from error
    _value(tree, None)
    return tree


def _value(tree: ast.expr, batch: int | None) -> Any:
    """The value of `tree` for `batch`; with None, `tree` is only checked.

    Conditions are read from files, so nothing but this arithmetic is ever evaluated.
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


def _floor_divide(left: int, right: int) -> int:
    return left // right


_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.And: lambda *values: all(values),
    ast.Or: lambda *values: any(values),
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: _floor_divide,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
