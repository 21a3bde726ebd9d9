"""The backend of torch.compile that torch finds under the name "openwork"."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import fx
from torch._dynamo.backends.registry import lookup_backend

from openwork._arguments import check_choice, check_tolerance
from openwork.engine.compile import OPTIMIZE
from openwork.engine.dynamo.runner import compiled_or_reason
from openwork.errors import ArgumentError, first_line

_log = logging.getLogger("openwork.torch_compile")
_DEFAULTS: dict[str, Any] = {"tolerance": 1e-3, "optimize": "speed", "fallback": "inductor"}
FALLBACKS = ("inductor", "eager")


def backend(
    graph: fx.GraphModule,
    given: Sequence[Any],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """What runs `graph`: openwork's engine, else Inductor, else torch's eager mode.

    The engine runs graphs with weights in float32 on the CPU whose gradients nobody asks for; for
    all others the reason is logged by the logger "openwork.torch_compile".

    Args:
        graph: what torch.compile made of a network or a part of one.
        given: what it is called with first.
        mode: for Inductor.
        options: "tolerance" and "optimize", as of `openwork.compile`; "fallback", "inductor"
            (default) or "eager".

    Raises:
        ArgumentError: `options` holds something else.
    """
    asked = _checked({} if options is None else options)
    fallback = asked.pop("fallback")
    found = compiled_or_reason(graph, given, asked)
    if not isinstance(found, str):
        return found
    _log.warning("a graph is left to %s: %s", fallback, found)
    if fallback == "eager":
        return graph
    try:
        inductor: Any = lookup_backend("inductor")
        return inductor(graph, given, **({} if mode is None else {"mode": mode}))
    except Exception as error:
        # It needs a C++ compiler where the network runs, among other things.
        _log.warning("a graph is left to eager, as inductor fails: %s", first_line(error))
        return graph


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = options.keys() - _DEFAULTS.keys()
    if unknown:
        raise ArgumentError(
            f"`options` holds {', '.join(map(repr, sorted(unknown)))}, but may hold "
            f"{', '.join(map(repr, _DEFAULTS))}"
        )
    asked = {**_DEFAULTS, **options}
    check_tolerance(asked["tolerance"])
    check_choice("optimize", asked["optimize"], OPTIMIZE)
    check_choice("fallback", asked["fallback"], FALLBACKS)
    return asked
