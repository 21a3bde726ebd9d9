"""The network that a command works on: in a run, in a file, or built and filled with weights."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from openwork import io
from openwork._arguments import check_count
from openwork._files import not_there
from openwork._foreign import ONNX, kind_of_file
from openwork.cli.build import Sizes, build_named
from openwork.engine import CompiledModel
from openwork.errors import ArgumentError, CheckpointError, OpenworkError
from openwork.interchange import from_onnx
from openwork.interchange.example import example_of
from openwork.models import ModelSource
from openwork.models.own import is_own
from openwork.quantize.network import QuantizedNetwork
from openwork.train.run_folder import MODEL, STATE

_MOST_THREADS = 1024


@dataclass(frozen=True, eq=False)
class Located:
    """Where a network is, and how it is built. Nothing but the file's header has been read.

    Attributes:
        path: the file; None for a network with random weights.
        info: what the header says; None if openwork did not write the file.
        name: of the network, as the command was told; None for the one in the header.
    """

    path: Path | None
    info: io.CheckpointInfo | None
    name: str | None

    @property
    def source(self) -> ModelSource | None:
        """How the header says that the network is built."""
        return self.info.source if self.info else None

    @property
    def metrics(self) -> dict[str, Any]:
        """What the header says of the training."""
        return self.info.metrics if self.info else {}

    @property
    def is_onnx(self) -> bool:
        """Whether the file is an ONNX model."""
        given = self.path is not None and self.info is None and self.name is None
        return given and kind_of_file(str(self.path)) == ONNX

    @property
    def is_compiled(self) -> bool:
        """Whether the file holds a compiled network."""
        return self.info is not None and self.info.kind == "compiled"

    @property
    def is_quantised(self) -> bool:
        """Whether the file holds a network that computes in int8."""
        return self.info is not None and self.info.kind == "quantized"

    def load(self, sizes: Sizes, device: str = "cpu") -> nn.Module:
        """The network with its weights.

        Args:
            sizes: what to build it for, where the header does not say.
            device: of the network.

        Raises:
            ArgumentError: it must be built, and nothing says how.
            CheckpointError: the file does not fit.
        """
        source, sizes = self.source, sizes_for(self, sizes)
        if self.is_onnx:
            with naming("run"):
                return from_onnx(str(self.path)).to(device)
        if self.info is None:
            return self._filled(sizes).to(device)
        name = self.name
        whole = self.is_compiled or self.is_quantised
        if name is None and not whole and (source is None or is_own(source.name)):
            raise ArgumentError(_unknown(self.path, source))
        with naming("run"):
            build = None if name is None else lambda: build_named(name, sizes)
            return io.load(str(self.path), build, device=device)

    def refuse_compiled(self, doing: str, *, quantised: bool = True) -> None:
        """Raise if the network is compiled, because a command needs its layers for `doing`.

        Args:
            doing: such as "pruned".
            quantised: whether networks in int8 are refused too, default True.
        """
        if self.is_compiled or (quantised and self.is_quantised):
            kind, made = (
                ("a compiled", "compiled") if self.is_compiled else ("an int8", "quantised")
            )
            raise ArgumentError(
                f"`run`={str(self.path)!r} is {kind} network, which cannot be {doing}; give "
                f"the run or checkpoint that it was {made} from"
            )

    def _filled(self, sizes: Sizes) -> nn.Module:
        if self.name is None:
            raise ArgumentError("`model`=None: say which network, with --model")
        model = build_named(self.name, sizes)
        if self.path is not None:
            with naming("weights"):
                io.load_weights_(model, self.path)
        return model


def locate(
    run: Path | None,
    model: str | None = None,
    weights: Path | None = None,
    *,
    bare: bool = False,
    onnx: bool = False,
) -> Located:
    """The network that the options of a command name.

    Args:
        run, model, weights: the options.
        bare: whether a network may have random weights.
        onnx: whether the file may be an ONNX model.

    Raises:
        ArgumentError: the options do not go together.
        CheckpointError: the file is missing, or openwork did not write it.
    """
    if run is not None:
        if weights is not None:
            raise ArgumentError(
                f"`weights`={str(weights)!r} and `run`={str(run)!r} both hold weights; give one of "
                "them"
            )
        path = _existing(run)
        if onnx and model is None and kind_of_file(path) == ONNX:
            return Located(path, None, None)
        with naming("run"):
            return Located(path, io.info(path), model)
    if model is None:
        raise ArgumentError(
            "`run`=None: give a run's folder or a checkpoint, or --model and --weights"
        )
    if weights is None and not bare:
        raise ArgumentError(
            f"`model`={model!r} would have random weights; give --weights, or a run's folder or a "
            "checkpoint"
        )
    if weights is not None and not os.path.isfile(weights):
        raise CheckpointError(f"`weights`={str(weights)!r} is not a file; check the path")
    return Located(weights, None, model)


def _existing(run: Path) -> Path:
    path = model_path(run)
    if os.path.isfile(path):
        return path
    if not os.path.isdir(run):
        raise CheckpointError(
            f"`run`={str(run)!r} {not_there(run, 'a file')}; give a run's folder or a checkpoint "
            "that is there"
        )
    why = (
        f"has no {MODEL}, although it is a run's folder; resume the training, which writes it"
        if (run / STATE).exists()
        else f"has no {MODEL}; give the folder that a command wrote, or a checkpoint"
    )
    raise CheckpointError(f"`run`={str(run)!r} {why}")


@contextlib.contextmanager
def naming(argument: str, blamed: str = "path") -> Iterator[None]:
    """Let errors of the library that blame `blamed` name the option that the path came from."""
    try:
        yield
    except OpenworkError as error:
        text = str(error).replace(f"`{blamed}`=", f"`{argument}`=", 1)
        raise type(error)(text) from error


def model_path(run: Path) -> Path:
    """The checkpoint of a run's folder, or `run` itself if it is a file."""
    # Unlike those of pathlib, these functions take paths that are too long for the system.
    return run / MODEL if os.path.isdir(run) else run


def sizes_for(place: Located, asked: Sizes) -> Sizes:
    """The sizes that the file at `place` records, else those that were asked for."""
    source = place.source
    if source is None:
        return asked
    return Sizes(source.num_classes, source.in_channels, source.image_size)


def images_for(model: nn.Module, sizes: Sizes, batch: int) -> torch.Tensor:
    """Random images `(batch, C, H, W)` that `model` takes; `sizes` if it does not say.

    Raises:
        ArgumentError: a compiled or int8 network takes several inputs, or as for `random_images`.
    """
    if (inputs := example_of(model, batch, sizes.side)) is not None:
        if len(inputs) != 1:
            raise ArgumentError(f"`run` is a network of {len(inputs)} inputs; use it from Python")
        return inputs[0]
    if not isinstance(model, CompiledModel | QuantizedNetwork):
        return random_images(batch, sizes.channels, sizes.side)
    if len(model.shapes) != 1:
        raise ArgumentError(
            f"`run` is a network of {len(model.shapes)} inputs ({', '.join(model.shapes)}); time "
            "it from Python"
        )
    check_count("batch", batch)
    return torch.randn(batch, *next(iter(model.shapes.values())))


def _unknown(path: Path | None, source: ModelSource | None) -> str:
    named = f", {source.name}," if source else ""
    example = source.name if source else "net.py:Net"
    return (
        f"`run`={str(path)!r} holds a network{named} that openwork cannot build by name; pass "
        f"--model with its file and its class or function, as in --model {example}, or load it "
        "from Python with openwork.load"
    )


def random_images(batch: int, channels: int, image_size: int) -> torch.Tensor:
    """Random images `(batch, channels, image_size, image_size)`.

    Raises:
        ArgumentError: `batch` is below 1, or the images do not fit into memory.
    """
    check_count("batch", batch)
    try:
        return torch.randn(batch, channels, image_size, image_size)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"`batch`={batch} images of {channels}x{image_size}x{image_size} do not fit into "
            "memory; use fewer or smaller ones"
        ) from error


def use_threads(count: int | None) -> None:
    """Let torch use `count` threads; None changes nothing.

    Raises:
        ArgumentError: `count` is not a number from 1 to 1,024.
    """
    if count is None:
        return
    if not 1 <= count <= _MOST_THREADS:
        raise ArgumentError(f"`threads`={count} must be a number from 1 to {_MOST_THREADS:,}")
    torch.set_num_threads(count)
