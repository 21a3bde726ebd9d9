"""What a network takes and returns, taken apart into a flat list and put together again.

The `nesting` of a thing is the same containers with the number of a leaf in the place of each leaf:
tuples, lists and dicts, and `Typed` for containers of other classes. Building one of those runs no
code of its class; a defaultdict comes back without its factory. Torch is imported where things are
taken apart: numpy alone can build.
"""

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, cast

__all__ = ["Misfit", "Typed", "flatten", "match", "nest", "paths_of", "plain"]

_PLAIN: tuple[type, ...] = (tuple, list, dict, OrderedDict)


@dataclasses.dataclass(frozen=True)
class Typed:
    """A container that is not a plain tuple, list or dict.

    Attributes:
        kind: its class: a subclass of those, such as a named tuple, a dataclass, or a class that
            torch.utils._pytree knows.
        content: nesting: a tuple, a list, or a dict of items or of attributes.
        attributes: nesting of what an instance of a dict subclass holds besides its items.
        spec: how torch puts the instance together from a list; None for the other classes.
    """

    kind: type
    content: Any
    attributes: Any = None
    spec: Any = None


class Misfit(Exception):
    """A thing is not nested as it should be; the text says where and how."""


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of `tree`, and its nesting."""
    leaves: list[Any] = []
    return leaves, _take_apart(tree, leaves)


def nest(nesting: Any, leaf: Callable[[Any], Any]) -> Any:
    """`nesting` with `leaf(number)` in the place of each number."""
    if isinstance(nesting, Typed):
        return _build(nesting, leaf)
    if isinstance(nesting, dict):
        pairs = cast(dict[Any, Any], nesting)
        return type(pairs)((key, nest(each, leaf)) for key, each in pairs.items())
    if isinstance(nesting, list | tuple):
        items = cast(list[Any] | tuple[Any, ...], nesting)
        return type(items)(nest(each, leaf) for each in items)
    return leaf(nesting)


def match(nesting: Any, tree: Any, where: str = "") -> list[Any]:
    """The leaves of `tree` in the order of `nesting`; entries of dicts may come in any order.

    Raises:
        Misfit: `tree` is nested in another way.
    """
    found: dict[int, Any] = {}
    _match(nesting, tree, where, found)
    return [found[number] for number in sorted(found)]


def plain(nesting: Any) -> Any:
    """`nesting` with tuples, lists and dicts in the place of other classes."""
    if isinstance(nesting, Typed):
        return plain(nesting.content)
    if isinstance(nesting, dict):
        pairs = cast(dict[Any, Any], nesting)
        return type(pairs)((key, plain(each)) for key, each in pairs.items())
    if isinstance(nesting, list | tuple):
        items = cast(list[Any] | tuple[Any, ...], nesting)
        return type(items)(plain(each) for each in items)
    return nesting


def paths_of(nesting: Any, start: str = "") -> dict[int, str]:
    """Number of a leaf -> where it lies, such as "start['key'][0]"."""
    nesting = plain(nesting)
    if isinstance(nesting, dict):
        pairs = list(cast(dict[Any, Any], nesting).items())
    elif isinstance(nesting, list | tuple):
        pairs = list(enumerate(cast(list[Any], nesting)))
    else:
        return {nesting: start}
    paths: dict[int, str] = {}
    for key, each in pairs:
        paths |= paths_of(each, f"{start}[{key!r}]" if start else str(key))
    return paths


def _take_apart(tree: Any, leaves: list[Any]) -> Any:
    kind = cast(type[Any], type(tree))

    def inside(content: Any) -> Any:
        if isinstance(content, dict):
            pairs = cast(dict[Any, Any], content)
            return type(pairs)((key, _take_apart(each, leaves)) for key, each in pairs.items())
        items = cast(list[Any] | tuple[Any, ...], content)
        return type(items)(_take_apart(each, leaves) for each in items)

    if kind in _PLAIN:
        return inside(tree)
    if isinstance(tree, dict):
        # An attribute that is an item too, as in outputs of transformers, is held once.
        held = {id(each) for each in cast(dict[Any, Any], tree).values()}
        others = {name: each for name, each in _attributes(tree).items() if id(each) not in held}
        aliases = {
            name: key
            for name, each in _attributes(tree).items()
            for key, item in cast(dict[Any, Any], tree).items()
            if each is item
        }
        items = OrderedDict(tree) if isinstance(tree, OrderedDict) else dict(tree)
        return Typed(kind, inside(items), (inside(others), aliases))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, tuple | list):
        return Typed(kind, inside(_attributes(tree)))
    if isinstance(tree, tuple | list):
        base = tuple if isinstance(tree, tuple) else list
        return Typed(kind, inside(base(cast(Any, tree))))
    return _known_to_torch(tree, leaves)


def _known_to_torch(tree: Any, leaves: list[Any]) -> Any:
    from torch.utils import _pytree

    parts, spec = _pytree.tree_flatten(tree, is_leaf=lambda part: part is not tree)
    if len(parts) == 1 and parts[0] is tree:
        leaves.append(tree)
        return len(leaves) - 1
    return Typed(type(tree), [_take_apart(part, leaves) for part in parts], spec=spec)


def _attributes(tree: Any) -> dict[str, Any]:
    """What an instance holds by name, in the order of a dataclass's fields."""
    own = dict(getattr(tree, "__dict__", {}))
    if not dataclasses.is_dataclass(tree):
        return own
    names = [each.name for each in dataclasses.fields(tree) if hasattr(tree, each.name)]
    return {name: getattr(tree, name) for name in names} | own


def _build(typed: Typed, leaf: Callable[[Any], Any]) -> Any:
    """An instance, without a call of its class where that could run code of the user's."""
    kind = cast(Any, typed.kind)
    content = nest(typed.content, leaf)
    if typed.spec is not None:
        from torch.utils import _pytree

        return _pytree.tree_unflatten(content, typed.spec)
    if issubclass(kind, tuple):
        # torch.Size and torch.return_types can only be called.
        own = kind.__module__.partition(".")[0] != "torch"
        return tuple.__new__(kind, content) if own else kind(content)
    if issubclass(kind, list):
        built = list.__new__(kind)
        list.extend(built, content)
        return built
    if not issubclass(kind, dict):
        built = object.__new__(kind)
        for name, each in content.items():
            object.__setattr__(built, name, each)
        return built
    base: Any = next(each for each in (OrderedDict, defaultdict, dict) if issubclass(kind, each))
    built = base.__new__(kind)
    for key, each in content.items():
        base.__setitem__(built, key, each)
    others, aliases = typed.attributes
    for name, each in nest(others, leaf).items():
        object.__setattr__(built, name, each)
    for name, key in aliases.items():
        object.__setattr__(built, name, content[key])
    return built


def _match(nesting: Any, tree: Any, where: str, found: dict[int, Any]) -> None:
    if isinstance(nesting, int):
        found[nesting] = tree
        return
    if isinstance(nesting, Typed):
        if type(tree) is not nesting.kind:
            raise Misfit(f"{where} is a {type(tree).__name__}, not a {nesting.kind.__name__}")
        parts: list[Any] = []
        again = _take_apart(tree, parts)
        inner = _match_typed(nesting, again, where)
        found.update({number: parts[own] for number, own in inner.items()})
        return
    if isinstance(nesting, dict):
        pairs = cast(dict[Any, Any], nesting)
        given = cast(dict[Any, Any], tree)
        if not isinstance(tree, dict) or given.keys() != pairs.keys():
            has = f"the keys {list(given)}" if isinstance(tree, dict) else type(tree).__name__
            raise Misfit(f"{where} is {has}, not a dict of {list(pairs)}")
        for key, each in pairs.items():
            _match(each, given[key], f"{where}[{key!r}]" if where else str(key), found)
        return
    items = cast(list[Any] | tuple[Any, ...], nesting)
    given_items = cast(list[Any], tree)
    if not isinstance(tree, tuple | list) or len(given_items) != len(items):
        has = f"{len(given_items)} items" if isinstance(tree, tuple | list) else type(tree).__name__
        raise Misfit(f"{where} is {has}, not {len(items)} items in a {type(items).__name__}")
    for index, (each, item) in enumerate(zip(items, given_items, strict=True)):
        _match(each, item, f"{where}[{index}]", found)


def _match_typed(nesting: Typed, again: Any, where: str) -> dict[int, int]:
    """Number of a leaf in `nesting` -> its number in `again`, a nesting of the same class."""
    found: dict[int, Any] = {}
    content = again.content if isinstance(again, Typed) else again
    _match(plain(nesting.content), plain(content), where, found)
    if nesting.attributes is not None:
        _match(plain(nesting.attributes[0]), plain(again.attributes[0]), where, found)
    return found
