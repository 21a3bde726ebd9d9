"""`Walk`: all that can be reached from a network, saved so that it can be put back."""

import functools
import inspect
import operator
import random
import sys
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

import numpy as np
import torch
from torch import nn

__all__ = ["Walk"]

# Nothing of a network is kept by their code, and a walk through it would be long. pytest turns the
# asserts of a network in a test's file into calls of pytest; a LightningModule refers to its
# trainer, from which 200,000 objects can be reached.
_LIBRARIES = sys.stdlib_module_names | {
    *("torch", "numpy", "openwork", "sympy", "mpmath", "pytest", "_pytest"),
    *("lightning", "pytorch_lightning", "lightning_fabric", "lightning_utilities"),
}
# Those whose objects hold nothing of a network either.
_NO_HOLDERS = _LIBRARIES - {"builtins", "collections", "functools", "types", "weakref", "_thread"}
# The walk ends somewhere in a data set that a network refers to.
_MOST = 200_000
_ATOMS = frozenset(
    (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
)
_MISSING = object()


class Walk:
    """A walk through all that can be reached from `roots`, nearest first.

    Attributes:
        with_gradients: the tensors that have one.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.with_gradients: list[torch.Tensor] = []
        # Functions and their arguments. Of dictionaries there are thousands in a network: a closure
        # for each would set off Python's garbage collector, which looks at all that there is.
        self._saved: list[tuple[Any, ...]] = [*_global_numbers()]
        self._slots: dict[type, list[str] | None] = {}
        self._visits: dict[type, Callable[[Any, Any], None]] = {}
        self._waiting: deque[Any] = deque(roots)
        seen: dict[int, Any] = {}
        while self._waiting and len(seen) < _MOST:
            one = self._waiting.popleft()
            if type(one) not in _ATOMS and id(one) not in seen:
                seen[id(one)] = one
                self._visit_of(type(one))(self, one)

    def put_back(self) -> None:
        """Put back all that has changed since."""
        failed = None
        for put_back, *arguments in reversed(self._saved):
            try:
                put_back(*arguments)
            except Exception as error:
                # The others are put back all the same.
                failed = error
        if failed is not None:
            raise failed

    def _visit_of(self, kind: type) -> Callable[[Any, Any], None]:
        if kind not in self._visits:
            # Not isinstance, which asks a proxy for what it stands for.
            found = (visit for base, visit in _VISITS.items() if issubclass(kind, base))
            self._visits[kind] = next(found, Walk._object)
        return self._visits[kind]

    def _store(
        self,
        one: Any,
        read: Callable[[Any], dict[Any, Any]],
        put: Callable[[Any, Any, Any], None],
        remove: Callable[[Any, Any], None],
    ) -> None:
        """Save the values that `one` holds by name: `read` gives them all."""
        before = read(one)
        self._waiting += before.values()
        self._saved.append((_put_back_values, one, before, read, put, remove))

    def _object(self, one: Any) -> None:
        kind = type(one)
        if kind not in self._slots:
            foreign = not issubclass(kind, nn.Module) and _root(kind) in _NO_HOLDERS
            self._slots[kind] = None if foreign else _slots(kind)
        slots = self._slots[kind]
        if slots is None:
            return
        held = getattr(one, "__dict__", None)
        if isinstance(held, dict):
            self._mapping(held)
        if slots:
            self._store(
                one,
                lambda one: {name: getattr(one, name) for name in slots if hasattr(one, name)},
                object.__setattr__,
                object.__delattr__,
            )
        self._waiting.append(kind)

    def _mapping(self, one: dict[Any, Any]) -> None:
        self._store(one, dict, operator.setitem, operator.delitem)
        if type(one) is not dict:
            self._object(one)

    def _class(self, one: type) -> None:
        if _root(one) in _LIBRARIES:
            return
        self._store(
            one,
            lambda one: {name: value for name, value in vars(one).items() if name[:2] != "__"},
            type.__setattr__,
            type.__delattr__,
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
            scope,
            lambda scope: {name: scope[name] for name in names if name in scope},
            operator.setitem,
            operator.delitem,
        )
        for name in names:
            value = scope.get(name)
            if isinstance(value, ModuleType) and _root(value) not in _LIBRARIES:
                inner = vars(value)
                found = frozenset(names & inner.keys() - {name})
                if inner is not scope and found:
                    self._scope(inner, found)

    def _cell(self, one: CellType) -> None:
        self._store(one, _contents, setattr, delattr)

    def _sequence(self, one: Any) -> None:
        before = list(one)
        self._waiting += before
        self._saved.append((_put_back_sequence, one, before))
        self._object(one)

    def _set(self, one: set[Any]) -> None:
        before = set(one)
        self._waiting += before
        self._saved.append((_put_back_set, one, before))

    def _tensor(self, one: torch.Tensor) -> None:
        self._mapping(vars(one))
        if one.layout is not torch.strided or one.is_inference() or not one.is_leaf:
            return
        data, gradient, needed = one.data, one.grad, one.requires_grad
        # Parameters are large, and networks seldom write to them.
        before = None if isinstance(one, nn.Parameter) or one.is_meta else data.clone()
        if gradient is not None:
            self.with_gradients.append(one)
        self._saved.append((_put_back_tensor, one, data, before, gradient, needed))

    def _numbers(self, one: torch.Generator | np.random.RandomState) -> None:
        self._saved.append((one.set_state, one.get_state()))

    def _python_numbers(self, one: random.Random) -> None:
        self._saved.append((one.setstate, one.getstate()))

    def _numpy_numbers(self, one: Any) -> None:
        bits = getattr(one, "bit_generator", one)
        self._saved.append((setattr, bits, "state", bits.state))

    def _cache(self, one: Any) -> None:
        before = one.cache_info().misses

        def put_back() -> None:
            if one.cache_info().misses != before:
                one.cache_clear()

        self._saved.append((put_back,))
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
    torch.Tensor: Walk._tensor,
    dict: Walk._mapping,
    list: Walk._sequence,
    deque: Walk._sequence,
    set: Walk._set,
    tuple: Walk._fixed,
    frozenset: Walk._fixed,
    type: Walk._class,
    FunctionType: Walk._function,
    MethodType: Walk._method,
    CellType: Walk._cell,
    partial: Walk._partial,
    functools._lru_cache_wrapper: Walk._cache,
    staticmethod: Walk._descriptor,
    classmethod: Walk._descriptor,
    property: Walk._property,
    torch.Generator: Walk._numbers,
    np.random.RandomState: Walk._numbers,
    # The system's numbers have no state.
    random.SystemRandom: Walk._nothing,
    random.Random: Walk._python_numbers,
    np.random.Generator: Walk._numpy_numbers,
    np.random.BitGenerator: Walk._numpy_numbers,
    # Only the names that code uses are looked up in a module.
    ModuleType: Walk._nothing,
}


def _global_numbers() -> Iterator[tuple[Any, ...]]:
    """Put back the random numbers that everybody draws from."""
    yield torch.set_rng_state, torch.get_rng_state()
    if torch.cuda.is_initialized():
        yield torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()
    yield random.setstate, random.getstate()
    yield np.random.set_state, np.random.get_state()


def _contents(one: CellType) -> dict[str, Any]:
    try:
        return {"cell_contents": one.cell_contents}
    except ValueError:
        # Nothing has been assigned to the variable.
        return {}


def _put_back_values(
    one: Any,
    before: dict[Any, Any],
    read: Callable[[Any], dict[Any, Any]],
    put: Callable[[Any, Any, Any], None],
    remove: Callable[[Any, Any], None],
) -> None:
    now = read(one)
    for key in [key for key in now if key not in before]:
        remove(one, key)
    for key, value in before.items():
        if now.get(key, _MISSING) is not value:
            put(one, key, value)


def _put_back_sequence(one: Any, before: list[Any]) -> None:
    if len(one) != len(before) or any(map(operator.is_not, one, before)):
        one.clear()
        one.extend(before)


def _put_back_set(one: set[Any], before: set[Any]) -> None:
    if one != before:
        one.clear()
        one.update(before)


def _put_back_tensor(
    one: torch.Tensor,
    data: torch.Tensor,
    before: torch.Tensor | None,
    gradient: torch.Tensor | None,
    needed: bool,
) -> None:
    if not one.is_leaf:
        # Something that requires gradients was written into it.
        one.detach_()
    if one.requires_grad != needed:
        one.requires_grad_(needed)
    if one.data_ptr() != data.data_ptr():
        one.data = data
    # Not by the version: batch norms write to their statistics without counting it.
    if before is not None and not _equal(data, before):
        data.copy_(before)
    if one.grad is not gradient:
        one.grad = gradient


def _equal(one: torch.Tensor, two: torch.Tensor) -> bool:
    try:
        return torch.equal(one, two)
    except RuntimeError:
        # Not for every dtype.
        return False


def _root(one: Any) -> str:
    """The library that a class or module belongs to."""
    name = one.__name__ if isinstance(one, ModuleType) else one.__module__
    return str(name).partition(".")[0]


def _slots(kind: type) -> list[str]:
    """The slots of an object, but not where a subclass has a property in the place of one."""
    return [
        name
        for base in kind.__mro__
        for name in _own_slots(base)
        if isinstance(inspect.getattr_static(kind, name, None), MemberDescriptorType)
    ]


def _own_slots(kind: type) -> list[str]:
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
