"""The rules that arguments obey, wherever they are given; each check names the way out.

Torch is imported by those checks that need it: patterns and the runtime work without it.
"""

import inspect
import math
import os
import re
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from openwork.errors import ArgumentError


def check_count(argument: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"`{argument}`={value!r} must be a whole number of at least {least}")
    return value


def check_seed(value: int) -> int:
    check_count("seed", value, 0)
    # The range of torch's generators and of `layer_seed`.
    if value >= 2**64:
        raise ArgumentError(f"`seed`={value!r} must be below 2**64")
    return value


def check_flag(argument: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"`{argument}`={value!r} must be true or false")
    return value


def is_number(value: Any) -> bool:
    """Whether `value` is a Python int or float; a bool is not a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_density(value: float, argument: str = "density") -> float:
    if not is_number(value) or not 0 < value <= 1:
        raise ArgumentError(
            f"`{argument}`={value!r} must lie in (0, 1]: it is the share of live connections; "
            "1 is dense, and 0 would leave none"
        )
    return float(value)


def check_choice(argument: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ArgumentError(
            f"`{argument}`={value!r} must be one of {', '.join(map(repr, choices))}"
        )
    return value


def check_callable(argument: str, value: Any, form: str) -> None:
    """It can be called as `form` shows, such as `(model) -> score`."""
    given = re.findall(r"\w+", form.partition(")")[0])
    if callable(value):
        try:
            inspect.signature(value).bind(*given)
        except TypeError:
            pass
        except ValueError:
            return  # Code that is not Python's may not say what it takes.
        else:
            return
    raise ArgumentError(f"`{argument}`={value!r:.60} must be a function {form}")


def check_groups(
    out_channels: int,
    in_channels: int,
    groups: int,
    argument: str = "groups",
    multiple_of: int = 1,
) -> int:
    check_count(argument, groups)
    if out_channels % groups or in_channels % groups or groups % multiple_of:
        common = math.gcd(out_channels, in_channels)
        feasible = [n for n in range(multiple_of, common + 1, multiple_of) if common % n == 0]
        multiple = f" and be a multiple of the layer's own {multiple_of} groups"
        raise ArgumentError(
            f"`{argument}`={groups} must divide both `out_channels`={out_channels} and "
            f"`in_channels`={in_channels}{multiple if multiple_of > 1 else ''}; "
            f"feasible: {', '.join(map(str, feasible))}"
        )
    return groups


def check_kernel(kernel: int | Sequence[int]) -> tuple[int, ...]:
    """A kernel as a tuple: `k` means `(k, k)`, and `()` is a linear layer."""
    if isinstance(kernel, int):
        kernel = (kernel, kernel)
    if not isinstance(kernel, Sequence) or len(kernel) not in (0, 2):
        raise ArgumentError(
            f"`kernel`={kernel!r} must be one number, a pair (height, width), or () for a linear "
            "layer"
        )
    for size in kernel:
        check_count("kernel", size)
    return tuple(kernel)


def check_number(argument: str, value: Any, rule: str, holds: Callable[[float], bool]) -> float:
    """`value` as a float; `holds` says whether it obeys the `rule`, which NaN never does."""
    if not isinstance(value, Real) or isinstance(value, bool) or not holds(float(value)):
        raise ArgumentError(f"`{argument}`={value!r} must be a number {rule}")
    return float(value)


def check_threshold(argument: str, value: Any) -> None:
    if not is_number(value) or not math.isfinite(value) or value < 0:
        raise ArgumentError(f"`{argument}`={value!r} must be a number of at least 0, such as 1e-3")


def check_tolerance(tolerance: Any) -> None:
    """It is a number of at least 0, and not NaN, which nothing is larger than."""
    if not is_number(tolerance) or not tolerance >= 0:
        raise ArgumentError(
            f"`tolerance`={tolerance!r} must be a number of at least 0: the largest difference "
            "allowed, relative to the largest output"
        )


def check_model(model: Any, argument: str = "model") -> None:
    """It is a module whose layers can be read and have their weights."""
    from torch import jit

    check_module(model, argument)
    if isinstance(model, jit.ScriptModule):
        raise ArgumentError(
            f"`{argument}` is a {type(model).__name__}: TorchScript, whose layers cannot be read "
            "or replaced; pass the nn.Module that was scripted or traced"
        )
    check_has_weights(model, argument)


def check_open(model: Any) -> None:
    """It is a model, and its layers are PyTorch's: it was not compiled or quantised.

    Classes of networks that were have the attribute `sealed`, which says so.
    """
    check_model(model)
    if sealed := getattr(model, "sealed", ""):
        raise ArgumentError(
            f"`model` {sealed}, and its layers cannot be read or changed; pass the network that it "
            "was made of"
        )


def check_module(model: Any, argument: str = "model") -> None:
    """It is a module of any kind."""
    from torch import nn

    if isinstance(model, nn.Module):
        return
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise ArgumentError(
            f"`{argument}` is the class {model.__name__}, but must be an instance of it: "
            f"{model.__name__}(...)"
        )
    kind = type(model).__name__
    if isinstance(model, str | os.PathLike):
        raise ArgumentError(
            f"`{argument}` is a {kind}, {str(model)!r:.80}, but must be a torch.nn.Module; "
            "openwork.load reads a network that openwork.save wrote"
        )
    raise ArgumentError(f"`{argument}` is a {kind}, but must be a torch.nn.Module")


def check_has_weights(model: Any, argument: str = "model") -> None:
    """Refuse a model with a lazy layer that has not run yet."""
    from torch.nn.parameter import is_lazy

    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise ArgumentError(
                f"`{argument}` must have its weights, but {name!r} of a lazy layer has no shape "
                "yet; run the network once on an example first"
            )


def check_finite_weights(model: Any) -> None:
    """No parameter of the model is NaN or infinite."""
    for name, parameter in model.named_parameters():
        if not parameter.is_meta and not parameter.isfinite().all():
            raise ArgumentError(
                f"`model` has numbers that are NaN or infinite in {name!r}; load its weights "
                "again, or initialise them"
            )


def check_optimizer_kind(optimizer: Any) -> None:
    from torch.optim import Optimizer

    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"`optimizer`={optimizer!r} must be a torch.optim.Optimizer, the one that trains or "
            "trained `model`"
        )
