"""Rules for the argument `kernels` of `compile`."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openwork.errors import ArgumentError


def check_kernels(kernels: Any) -> None:
    """Require that `kernels` maps globs over layer names to globs over kernel names."""
    if not isinstance(kernels, Mapping):
        raise ArgumentError(
            f"`kernels`={kernels!r} must map globs over layer names to globs over kernel names, "
            "such as {'*': 'torch'}"
        )
    for layers, wanted in kernels.items():
        globs = [wanted] if isinstance(wanted, str) else wanted
        texts = isinstance(globs, Sequence) and all(isinstance(glob, str) for glob in globs)
        if not isinstance(layers, str) or not texts or not globs:
            raise ArgumentError(
                f"`kernels` holds {layers!r}: {wanted!r}, but must map a glob over layer names to "
                "a glob over kernel names, or to several"
            )


def check_sizes(sizes: Any) -> list[tuple[int, int]] | None:
    """The sizes listed; None for "any"."""
    if isinstance(sizes, str) and sizes == "any":
        return None
    pairs = list(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else []
    for pair in pairs:
        numbers = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else []
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers)
        if len(numbers) != 2 or not whole:
            raise ArgumentError(
                f"`sizes` holds {pair!r}, but must hold pairs (height, width) of whole numbers"
            )
    if not pairs:
        raise ArgumentError(
            f"`sizes`={sizes!r} must be 'any' or a list of pairs (height, width), such as "
            "[(224, 224), (320, 480)]"
        )
    return [(pair[0], pair[1]) for pair in pairs]


def check_layers_named(kernels: Mapping[str, Any], layers: Iterable[str]) -> None:
    """Require that each glob but "*" matches a layer."""
    names = list(dict.fromkeys(layers))
    for glob in kernels:
        if glob == "*" or any(fnmatch.fnmatchcase(name, glob) for name in names):
            continue
        close = difflib.get_close_matches(glob, names, n=3, cutoff=0.3) or names[:3]
        closest = ", ".join(map(repr, close))
        near = f"of its {len(names)}, closest are {closest}" if names else "it has none"
        raise ArgumentError(
            f"`kernels` names {glob!r}, which matches no layer of the compiled network; {near}"
        )
