"""The compiled extension: its description, and life without it."""

import enum
import importlib
import sys
from pathlib import Path
from types import WrapperDescriptorType

import pytest

import openwork
from openwork.errors import MissingPackageError
from openwork.kernels import native
from openwork.ops.backends import BACKENDS


def test_without_the_extension_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openwork.kernels._C", None)
    without = importlib.reload(native)
    try:
        assert without.reason_missing == "openwork was installed without a C++ compiler"
        with pytest.raises(MissingPackageError, match=r"install a C\+\+ compiler and reinstall"):
            without.extension.usable_isas()
    finally:
        monkeypatch.undo()
        importlib.reload(native)


def test_the_backends_say_what_will_run() -> None:
    reasons = {backend.name: backend.why_not() for backend in BACKENDS}
    assert reasons == {"native": native.reason_missing, "reference": None}


def test_the_stub_describes_the_extension_as_it_is() -> None:
    stubgen = pytest.importorskip("nanobind.stubgen")
    module = pytest.importorskip("openwork.kernels._C")
    generator = stubgen.StubGen(module)
    generator.put(module)
    written = Path(openwork.__file__).parent / "kernels" / "_C.pyi"
    assert generator.get() == written.read_text()


def test_all_that_the_extension_offers_is_described() -> None:
    module = pytest.importorskip("openwork.kernels._C")
    assert module.__doc__
    offered = [item for name, item in vars(module).items() if name[0] != "_" and callable(item)]
    methods = [
        method
        for kind in offered
        if isinstance(kind, type) and not issubclass(kind, enum.Enum)
        for name, method in vars(kind).items()
        if callable(method)
        and (name[0] != "_" or name == "__init__")
        and not isinstance(method, WrapperDescriptorType)
    ]
    functions = [item for item in offered if not isinstance(item, type)]
    assert len(functions) > 10
    assert len(methods) > 15
    assert all(kind.__doc__ for kind in offered)
    for function in functions + methods:
        # nanobind writes the signature, an empty line, then what it was given.
        _, _, text = function.__doc__.partition("\n\n")
        assert text, function
