"""The C interface: what it describes, what it refuses, and its examples."""

import ctypes
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import built
import corpus
import numpy as np
import pytest

from openwork.kernels.native import extension as _C


class Tensor(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("axes", ctypes.c_int32),
        ("floats", ctypes.c_int64),
    )


@pytest.fixture(scope="module")
def library() -> Any:
    loaded = ctypes.CDLL(str(built.native("libopenwork.so")))
    loaded.ow_error.restype = loaded.ow_isas.restype = ctypes.c_char_p
    loaded.ow_free.argtypes = (ctypes.c_void_p,)
    loaded.ow_free.restype = None
    return loaded


@pytest.fixture
def content() -> bytes:
    isa = _C.chosen_isa()
    return corpus.of_layer(corpus.layers(isa)[0], isa).to_bytes().tobytes()


def _load(library: Any, content: bytes) -> ctypes.c_void_p:
    network = ctypes.c_void_p()
    assert library.ow_load_memory(content, len(content), ctypes.byref(network)) == 0
    return network


def test_it_names_what_runs_here(library: Any) -> None:
    assert library.ow_api() == 1
    assert library.ow_isas().decode().split() == _C.usable_isas()


def test_inputs_and_outputs_are_described(library: Any, content: bytes) -> None:
    network = _load(library, content)
    assert (library.ow_inputs(network), library.ow_outputs(network)) == (2, 1)
    found = []
    for describe, number in ((library.ow_input, 0), (library.ow_input, 1), (library.ow_output, 0)):
        tensor = Tensor()
        assert describe(network, number, ctypes.byref(tensor)) == 0
        shape = tensor.shape[: tensor.axes]
        assert tensor.floats == np.prod(shape)
        found.append((tensor.name, shape))
    assert found == [(b"x", [3, 5, 6]), (b"residual", [4, 5, 6]), (b"y", [4, 5, 6])]
    least, most = ctypes.c_int64(), ctypes.c_int64()
    assert library.ow_batches(network, ctypes.byref(least), ctypes.byref(most)) == 0
    assert (least.value, most.value) == (1, 64)
    library.ow_free(network)


def test_bad_arguments_are_refused_with_a_text(library: Any, content: bytes) -> None:
    network = _load(library, content)
    size = ctypes.c_size_t()
    assert library.ow_memory(network, ctypes.c_int64(65), 1, ctypes.byref(size)) == 1
    assert library.ow_error() == b"`batch`=65 must lie in [1, 64]"
    assert library.ow_memory(network, ctypes.c_int64(2), 0, ctypes.byref(size)) == 1
    assert library.ow_error() == b"`threads`=0 must lie in [1, 4096]"
    assert library.ow_input(network, 2, ctypes.byref(Tensor())) == 1
    assert library.ow_error() == b"`number`=2 must lie in [0, 1]"
    assert library.ow_run(network, None, None, ctypes.c_int64(1), 1, None, ctypes.c_size_t()) == 1
    assert library.ow_error() == b"`inputs` must not be null"
    assert library.ow_run(None, None, None, ctypes.c_int64(1), 1, None, ctypes.c_size_t()) == 1
    assert library.ow_error() == b"`network` must not be null"
    floats = (ctypes.c_float * 400)()
    inputs, outputs = ((ctypes.c_void_p * 2)(*[ctypes.addressof(floats)] * 2) for _ in range(2))
    given = network, inputs, outputs, ctypes.c_int64(1), 1, floats, ctypes.c_size_t(3)
    assert library.ow_run(*given) == 1
    assert library.ow_error().startswith(b"`bytes`=3, but the run needs ")
    library.ow_free(network)
    library.ow_free(None)


def test_bad_files_are_refused_with_a_text(library: Any, content: bytes, tmp_path: Path) -> None:
    network = ctypes.c_void_p(1)
    for bad, text in (
        (content[:-1], b"it is truncated"),
        (content + b"x", b"bytes were appended to it"),
        (content[:20], b"it is not a packed network"),
        (content[:-1] + bytes([content[-1] ^ 1]), b"it has been changed or damaged"),
    ):
        assert library.ow_load_memory(bad, len(bad), ctypes.byref(network)) == 2
        assert network.value is None
        assert library.ow_error().startswith(text)
    missing = str(tmp_path / "missing").encode()
    assert library.ow_load(missing, ctypes.byref(network)) == 2
    assert library.ow_error() == b"it cannot be opened (No such file or directory)"
    assert library.ow_load(str(tmp_path).encode(), ctypes.byref(network)) == 2
    assert library.ow_error() == b"it is not a file"


@pytest.mark.parametrize("isa", _C.usable_isas())
def test_every_kernel_and_step_gives_what_python_gives(isa: str, tmp_path: Path) -> None:
    files = corpus.every_file(isa)
    lines, wanted = [], []
    random = np.random.default_rng(0)
    for number, file in enumerate(files):
        path = tmp_path / f"{number}.ow"
        path.write_bytes(file.to_bytes().tobytes())
        shapes = [shape for _, shape in file.inputs]
        inputs = [random.standard_normal((3, *shape)).astype(np.float32) for shape in shapes]
        (tmp_path / f"{number}.in").write_bytes(b"".join(each.tobytes() for each in inputs))
        lines.append(f"{path} 3 2 {tmp_path}/{number}.in {tmp_path}/{number}.out")
        program, _ = _C.open_packed(str(path))
        output = np.full((3, *file.outputs[0][1]), np.nan, np.float32)
        arena = np.full(program.arena(3, 2), np.nan, np.float32)
        program.run(inputs, [output], arena, 3, 2)
        wanted.append(output)
    built.run([str(built.native("openwork_run"))], lines)
    for number, output in enumerate(wanted):
        found = np.fromfile(tmp_path / f"{number}.out", np.float32)
        np.testing.assert_array_equal(found, output.reshape(-1))


def _changed(numbers: np.ndarray) -> list[np.ndarray]:
    """Arrays that are not what a step needs, or may not be."""
    whole = np.iinfo(numbers.dtype) if numbers.dtype.kind in "iu" else np.finfo(numbers.dtype)
    extremes = [np.full_like(numbers, each) for each in (whole.min, whole.max)]
    longer = np.concatenate([numbers, np.ones(1, numbers.dtype)])
    return [*extremes, numbers[::-1].copy(), numbers[:-1], longer, numbers.astype(np.float32)]


@pytest.mark.parametrize("kind", range(5))
def test_files_that_were_tampered_with_are_refused_or_run(kind: int, tmp_path: Path) -> None:
    """Each number and each array of each step in turn, with a checksum that is right.

    Of four networks of bytes, and of one of every step that is not a layer.
    """
    isa = _C.chosen_isa()
    byte_layers = corpus.byte_layers(isa)
    whole = corpus.of_bytes(byte_layers[kind], isa) if kind < 4 else corpus.of_steps(isa)
    refused = 0

    def tried(number: int, **changes: Any) -> None:
        nonlocal refused
        steps = list(whole.steps)
        steps[number] = replace(steps[number], **changes)
        path = tmp_path / "bad.ow"
        path.write_bytes(replace(whole, steps=steps).to_bytes().tobytes())
        try:
            program, _ = _C.open_packed(str(path))
        except ValueError:
            refused += 1
            return
        inputs = [np.ones((1, *shape), np.float32) for _, shape in whole.inputs]
        output = np.zeros((1, *whole.outputs[0][1]), np.float32)
        program.run(inputs, [output], np.zeros(program.arena(1, 1), np.float32), 1, 1)

    for number, step in enumerate(whole.steps):
        for at in range(len(step.numbers)):
            for value in (-1, step.numbers[at] + 1, 1 << 40):
                changed = (*step.numbers[:at], value, *step.numbers[at + 1 :])
                tried(number, numbers=changed)
        for at, array in enumerate(step.arrays):
            for other in _changed(array):
                tried(number, arrays=(*step.arrays[:at], other, *step.arrays[at + 1 :]))
        tried(number, numbers=step.numbers[:-1])
        tried(number, numbers=(*step.numbers, 0))
        tried(number, arrays=(*step.arrays, np.zeros(1, np.float32)))
    assert refused > 150


def test_the_example_in_c_says_the_class(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "two.ow").write_bytes(content)
    command = [str(built.native("openwork_classify")), str(tmp_path / "two.ow"), "/dev/null"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, "the network takes several inputs\n")
    isa = _C.chosen_isa()
    (tmp_path / "one.ow").write_bytes(corpus.of_steps(isa).to_bytes().tobytes())
    images = np.random.default_rng(0).random((3, 48), np.float32)
    images.tofile(tmp_path / "images")
    program, _ = _C.open_packed(str(tmp_path / "one.ow"))
    output = np.empty((3, 48), np.float32)
    program.run([images], [output], np.empty(program.arena(3, 1), np.float32), 3, 1)
    shown = built.run([command[0], str(tmp_path / "one.ow"), str(tmp_path / "images")])
    assert [int(line.split()[0]) for line in shown.splitlines()] == output.argmax(1).tolist()
