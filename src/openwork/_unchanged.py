"""`unchanged`: whatever running a network changes is put back afterwards.

Networks store things outside their outputs: caches made on first use, feature maps for a later
look, counters, tables in class attributes, globals and closures.
"""

import contextlib
import functools
import inspect
import operator
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import (
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import torch
from torch import nn

# torch.export patches torch for all threads while it traces, so that nothing else may run.
_ALONE = threading.RLock()
# Nothing of a network is kept by their code, and a walk through it would be long.
_LIBRARIES = sys.stdlib_module_names | {"torch", "numpy", "openwork", "sympy", "mpmath"}
# Of those, whose objects may hold something of a network.
_HOLDERS = {"builtins", "collections", "functools", "types", "weakref", "_thread"}
# The walk ends somewhere in a data set that a network refers to.
_MOST = 200_000
_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_MISSING = object()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Run the block while no other thread runs such a block."""
    with _ALONE:
        yield


@contextlib.contextmanager
def unchanged(*models: nn.Module) -> Iterator[None]:
    """Put back afterwards what the block changed in `models` and in all that their code reaches.

    That is: attributes, containers and helper objects; tensors, but not what is written into the
    memory of parameters; attributes of classes and functions, globals that the code names, and
    variables of closures. An `lru_cache` that was added to is cleared. One thread at a time.
    """
    with _ALONE, contextlib.ExitStack() as stack:
        for put_back in _Walk(models).saved:
            stack.callback(put_back)
        yield


class _Walk:
    """A walk through all that can be reached from `roots`, nearest first.

    Attributes:
        saved: functions, each of which puts back one object.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.saved: list[Callable[[], None]] = []
        self._waiting: deque[Any] = deque(roots)
        seen: dict[int, Any] = {}
        while self._waiting and len(seen) < _MOST:
            one = self._waiting.popleft()
            if type(one) not in _ATOMS and id(one) not in seen:
                seen[id(one)] = one
                self._visit(one)

    def _visit(self, one: Any) -> None:
        # Not isinstance, which asks a proxy for what it stands for.
        for kind, visit in _VISITS.items():
            if issubclass(type(one), kind):
                visit(self, one)
                break
        else:
            self._object(one)

    def _store(
        self,
        current: Callable[[], dict[Any, Any]],
        put: Callable[[Any, Any], None],
        remove: Callable[[Any], None],
    ) -> None:
        """Save what holds values by name: `current` reads them all."""
        before = current()
        self._waiting += before.values()

        def put_back() -> None:
            now = current()
            for key in [key for key in now if key not in before]:
                remove(key)
            for key, value in before.items():
                if now.get(key, _MISSING) is not value:
                    put(key, value)

        self.saved.append(put_back)

    def _object(self, one: Any) -> None:
        kind = type(one)
        if not issubclass(kind, nn.Module) and _root(kind) in _LIBRARIES - _HOLDERS:
            return
        held = getattr(one, "__dict__", None)
        if isinstance(held, dict):
            self._mapping(held)
        # A subclass may have a property in the place of a slot.
        slots = [
            name
            for base in kind.__mro__
            for name in _slots(base)
            if isinstance(inspect.getattr_static(kind, name, None), MemberDescriptorType)
        ]
        if slots:
            self._store(
                lambda: {name: getattr(one, name) for name in slots if hasattr(one, name)},
                partial(object.__setattr__, one),
                partial(object.__delattr__, one),
            )
        self._waiting.append(kind)

    def _mapping(self, one: dict[Any, Any]) -> None:
        self._store(lambda: dict(one), one.__setitem__, one.__delitem__)
        if type(one) is not dict:
            self._object(one)

    def _class(self, one: type) -> None:
        if _root(one) in _LIBRARIES:
            return
        self._store(
            lambda: {name: value for name, value in vars(one).items() if name[:2] != "__"},
            partial(type.__setattr__, one),
            partial(type.__delattr__, one),
        )
        self._waiting += [value for name, value in vars(one).items() if name[:2] == "__"]
        self._waiting += one.__mro__[1:]

    def _function(self, one: FunctionType) -> None:
        self._waiting += [*(one.__closure__ or ()), one.__defaults__, one.__kwdefaults__]
        self._waiting.append(vars(one))
        self._scope(one.__globals__, _names(one.__code__))

    def _scope(self, scope: dict[str, Any], names: frozenset[str]) -> None:
        """The globals `names` of a module, and of the modules among them."""
        self._store(
            lambda: {name: scope[name] for name in names if name in scope},
            scope.__setitem__,
            scope.__delitem__,
        )
        for name in names:
            value = scope.get(name)
            if isinstance(value, ModuleType) and _root(value) not in _LIBRARIES:
                inner = vars(value)
                found = frozenset(names & inner.keys() - {name})
                if inner is not scope and found:
                    self._scope(inner, found)

    def _cell(self, one: CellType) -> None:
        def current() -> dict[str, Any]:
            try:
                return {"cell_contents": one.cell_contents}
            except ValueError:
                # Nothing has been assigned to the variable.
                return {}

        self._store(current, partial(setattr, one), partial(delattr, one))

    def _sequence(self, one: Any) -> None:
        before = list(one)
        self._waiting += before

        def put_back() -> None:
            if len(one) != len(before) or any(map(operator.is_not, one, before)):
                one.clear()
                one.extend(before)

        self.saved.append(put_back)
        self._object(one)

    def _set(self, one: set[Any]) -> None:
        before = set(one)
        self._waiting += before

        def put_back() -> None:
            if one != before:
                one.clear()
                one.update(before)

        self.saved.append(put_back)

    def _tensor(self, one: torch.Tensor) -> None:
        self._mapping(vars(one))
        if one.layout is not torch.strided or one.is_inference() or not one.is_leaf:
            return
        data, version = one.data, one._version
        # Parameters are large, and networks seldom write to them.
        before = None if isinstance(one, nn.Parameter) else data.clone()

        def put_back() -> None:
            if one.data_ptr() != data.data_ptr():
                one.data = data
            if before is not None and one._version != version:
                data.copy_(before)

        self.saved.append(put_back)

    def _cache(self, one: Any) -> None:
        before = one.cache_info().misses

        def put_back() -> None:
            if one.cache_info().misses != before:
                one.cache_clear()

        self.saved.append(put_back)
        self._waiting.append(one.__wrapped__)

    def _fixed(self, one: Iterable[Any]) -> None:
        self._waiting += one
        self._object(one)

    def _method(self, one: MethodType) -> None:
        self._waiting += [one.__self__, one.__func__]

    def _partial(self, one: "partial[Any]") -> None:
        self._waiting += [one.func, *one.args, *one.keywords.values()]

    def _descriptor(self, one: Any) -> None:
        self._waiting.append(one.__func__)

    def _property(self, one: property) -> None:
        self._waiting += [one.fget, one.fset]

    def _nothing(self, one: Any) -> None:
        pass


# Of each object the first kind that it is of counts.
_VISITS: dict[type, Callable[[Any, Any], None]] = {
    torch.Tensor: _Walk._tensor,
    dict: _Walk._mapping,
    list: _Walk._sequence,
    deque: _Walk._sequence,
    set: _Walk._set,
    tuple: _Walk._fixed,
    frozenset: _Walk._fixed,
    type: _Walk._class,
    FunctionType: _Walk._function,
    MethodType: _Walk._method,
    CellType: _Walk._cell,
    partial: _Walk._partial,
    functools._lru_cache_wrapper: _Walk._cache,
    staticmethod: _Walk._descriptor,
    classmethod: _Walk._descriptor,
    property: _Walk._property,
    # Only the names that code uses are looked up in a module.
    ModuleType: _Walk._nothing,
}


def _root(one: Any) -> str:
    """The library that a class or module belongs to."""
    name = one.__name__ if isinstance(one, ModuleType) else one.__module__
    return str(name).partition(".")[0]


def _slots(kind: type) -> list[str]:
    names = vars(kind).get("__slots__", ())
    names = [names] if isinstance(names, str) else list(names)
    return [
        f"_{kind.__name__.lstrip('_')}{name}" if name[:2] == "__" != name[-2:] else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    ]


@functools.cache
def _names(code: CodeType) -> frozenset[str]:
    """The globals and attributes that `code` names, in functions within it too."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return frozenset(code.co_names).union(*inner)
