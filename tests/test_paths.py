"""Every reader and writer takes what is not a path, or one that no system has, for an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import openwork as ow
from openwork import data, io, models, prune, report, runtime
from openwork.cli.app import app
from openwork.errors import ArgumentError, OpenworkError
from openwork.nn import Plan
from openwork.predict.predict import predict
from openwork.train import Recipe


class NamesBytes:
    """A path of bytes."""

    def __fspath__(self) -> bytes:
        return b"model.safetensors"


NOT_PATHS: list[Any] = [3, 0, True, 3.5, b"a", ["a"], ("a",), {}, object(), NamesBytes()]
NOWHERE = ["a" * 300, "text.txt/", "text.txt/b", "a\0b", "/proc/none/x"]

READERS: dict[str, Callable[[Any], Any]] = {
    "load": ow.load,
    "info": io.info,
    "from_onnx": ow.from_onnx,
    "runtime.load": runtime.load,
    "load_weights_": lambda p: io.load_weights_(nn.Linear(1, 1), p),
    "read_log": prune.read_log,
    "Recipe": Recipe.from_yaml,
    "html": lambda p: report.html(p, out="page.html"),
    "data": lambda p: data.load("cifar10", p),
    "pack": lambda p: runtime.pack(p, "packed.ow"),
    "predict": lambda p: predict(p, ["text.txt"], "out.csv"),
    "images": lambda p: predict("text.txt", [p], "out.csv"),
}
WRITERS: dict[str, Callable[[Any], Any]] = {
    "history": lambda p: ow.SparsityHistory(path=p)(nn.Linear(1, 1)),
    "export_onnx": lambda p: ow.export_onnx(nn.Linear(1, 1), torch.zeros(2, 1), p),
    "save": lambda p: ow.save(nn.Linear(1, 1), p),
    "to_yaml": Plan({"*": "dense"}).to_yaml,
    "html": lambda p: report.html(Path(), out=p),
    "log": lambda p: prune.search(
        models.build("cnn_small"), lambda *_: 0.5, ratio=0.3, candidates=2, log=p, progress=False
    ),
}
CALLS = {**READERS, **{f"write {name}": call for name, call in WRITERS.items()}}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("hello\n")


@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_a_path_is_an_argument_error(name: str) -> None:
    for path in NOT_PATHS:
        if name == "from_onnx" and isinstance(path, bytes):
            continue
        with pytest.raises(ArgumentError, match="must be a path"):
            CALLS[name](path)
    if name not in ("data", "write to_yaml", "write log", "write history"):
        with pytest.raises(ArgumentError, match="NoneType, None, but must be a path"):
            CALLS[name](None)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("path", NOWHERE)
def test_a_path_that_is_not_there_is_an_error_of_ours(name: str, path: str) -> None:
    if (path == "text.txt/" and name in WRITERS) or (name.startswith("write") and path[-1] == "/"):
        # Written to as text.txt, which pathlib reads it as.
        return
    with pytest.raises(OpenworkError):
        CALLS[name](path)


def test_a_folder_that_is_a_file_says_so() -> None:
    with pytest.raises(OpenworkError, match="it, or a folder that it lies in, is a file"):
        prune.sensitivity(
            nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)),
            lambda *_: 0.5,
            ratios=[0.5],
            layers="0",
            example=torch.zeros(1, 1, 2, 2),
            out="text.txt",
            progress=False,
        )


def test_the_folder_of_a_run_must_be_a_path() -> None:
    dataset = data.load("mnist-subset")
    for out in NOT_PATHS:
        with pytest.raises(ArgumentError, match="but must be a path"):
            ow.train.fit(models.build("mnist_3conv"), dataset, Recipe(epochs=1), out=out)


def test_a_name_that_is_too_long_is_no_traceback() -> None:
    said = CliRunner().invoke(app, ["info", "x" * 300])
    assert isinstance(said.exception, OpenworkError)
