"""Do networks come in through ONNX and through torch.compile, with the outputs that they had?

    python benchmarks/doors.py [--out doors.json] [--only resnet] [--door dynamo]
                               [--files A.onnx ...] [--image 64] [--seconds 300]

Thirty networks of timm and torchvision, with random weights and random batch-norm statistics, are
exported by both of torch's exporters, with a free batch size where the exporter can. Each file is
read by `openwork.compile` and by `openwork.from_onnx`, and both are compared with ONNX Runtime,
which runs the file, over two batch sizes. Kernels are those of one family rather than measured
ones. `--files` names ONNX files that others wrote, which are compared in the same way.

Through `torch.compile(backend="openwork")` each network is called with one, two and three images,
and compared with itself; what the backend leaves to others is listed with its reason.

Differences are relative to the largest output; "rounding" is torch's own float32 error, its
difference from float64. Where a detector finds nothing it gives probabilities around 1e-5, which
ONNX Runtime computes to 1e-7: a difference of 2^-22, two float32 steps at 1, is none. With `--out`
rows are saved after each, and a second run continues.
"""

import argparse
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from apart import apart
from record import keep_rows, kept_rows
from torch import nn
from zoo import randomise

import openwork as ow
from openwork.engine.dynamo.backend import backend
from openwork.interchange.example import example_of
from openwork.interchange.onnx_runtime import OnnxRuntime
from openwork.verify import difference, largest_difference, outputs, rounding

NETWORKS = """\
timm:resnet18 timm:resnetv2_50 timm:seresnext26d_32x4d timm:res2net50_26w_4s timm:densenet121
timm:dpn68 timm:repvgg_a0 timm:mobilenetv3_small_050 timm:mobilenetv4_conv_small
timm:efficientnet_b0 timm:mixnet_s timm:ghostnet_100 timm:regnety_002 timm:hrnet_w18_small
timm:convnext_atto torchvision:alexnet torchvision:vgg11_bn torchvision:squeezenet1_1
torchvision:resnet50 torchvision:resnext50_32x4d torchvision:densenet121 torchvision:googlenet
torchvision:inception_v3 torchvision:mobilenet_v2 torchvision:mobilenet_v3_large
torchvision:mnasnet0_5 torchvision:shufflenet_v2_x1_0 torchvision:efficientnet_b0
torchvision:regnet_x_400mf torchvision:convnext_tiny
"""
EXPORTERS = ("legacy", "dynamo")
COMPILE = "torch.compile"
# Where the smallest maps would be smaller than a kernel, or than what a pool makes of them: such
# pools the exporters refuse, or write index by index.
SIDES_OF = {"inception_v3": 96, "alexnet": 224, "vgg11_bn": 224}
# Of a file whose sizes of images are open, those that are tried.
SIDES = (48, 64, 96)
KERNELS = {"*": ("*-depthwise-*", "*-dense-*", "*-direct-*", "*-spmm-*", "torch")}


@dataclass
class Row:
    """The result for one network through one door."""

    name: str
    door: str
    error: str = ""
    any_batch: bool = False
    compiled: float = float("nan")
    module: float = float("nan")
    rounding: float = 0.0
    absolute: float = math.inf
    left: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        """Whether a difference exceeds float32 rounding."""
        worst = [each for each in (self.compiled, self.module) if each == each]
        relative = bool(worst) and max(worst) <= max(1e-3, 5 * self.rounding)
        return not relative and not self.absolute <= 2.0**-22


def main() -> None:
    parser = argparse.ArgumentParser(description="Do networks come in through ONNX and torch?")
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    parser.add_argument("--door", choices=(*EXPORTERS, COMPILE), action="append")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="ONNX files of others")
    parser.add_argument("--image", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--seconds", type=float, default=300, help="time limit per row")
    parser.add_argument("--out", type=Path, help="file for rows; an existing one is continued")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {(row["name"], row["door"]): Row(**row) for row in kept_rows(options.out)}
    doors = options.door or (*EXPORTERS, COMPILE)
    asked = [(name, door) for name in NETWORKS.split() if options.only in name for door in doors]
    work = {(name, door): partial(_through, name, door, options.image) for name, door in asked}
    work |= {(path.stem, "file"): partial(_file, path) for path in options.files}
    for (name, door), each in work.items():
        if (name, door) not in rows:
            rows[name, door] = apart(each, partial(Row, name, door), options.seconds)
            keep_rows(options.out, list(rows.values()))
        _print(rows[name, door])
    done = [rows[each] for each in work if not rows[each].error]
    print(
        f"\n{len(work)} rows: {len(done)} read, {sum(row.wrong for row in done)} of them wrong, "
        f"{sum(row.any_batch for row in done)} with any batch size, "
        f"{sum(not row.left for row in done)} with nothing left to torch"
    )


def _through(name: str, door: str, image: int) -> Row:
    torch.manual_seed(0)
    model = ow.models.build(name, num_classes=10).eval()
    randomise(model)
    side = SIDES_OF.get(name.partition(":")[2], image)
    row = Row(name, door)
    row.rounding = rounding(model, (torch.randn(2, 3, side, side),))
    if door == COMPILE:
        _compile(row, model, side)
    else:
        example = torch.randn(2, 3, side, side)
        graph = _exported(model, example, dynamo=door == "dynamo")
        _read(row, graph, [(example,), (torch.randn(3, 3, side, side),)])
    return row


def _exported(model: nn.Module, example: torch.Tensor, dynamo: bool) -> bytes:
    """The ONNX file of `model`, of any batch size if the exporter can."""
    free: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    if dynamo:
        free = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _export(model, example, buffer, dynamo, free)
        except Exception:
            buffer = io.BytesIO()
            _export(model, example, buffer, dynamo, {})
    return buffer.getvalue()


def _export(
    model: nn.Module, example: torch.Tensor, buffer: io.BytesIO, dynamo: bool, free: dict[str, Any]
) -> None:
    if not dynamo:
        torch.onnx.export(model, (example,), buffer, dynamo=False, **free)  # type: ignore[arg-type]
        return
    program = torch.onnx.export(model, (example,), dynamo=True, verbose=False, **free)
    program.save(buffer)  # type: ignore[union-attr]


def _file(path: Path) -> Row:
    row, graph = Row(path.stem, "file"), path.read_bytes()
    network = ow.from_onnx(graph)
    for side in SIDES:
        calls = [example_of(network, batch, side) or () for batch in (2, 3)]
        try:
            outputs(OnnxRuntime(graph), calls[0])
        except Exception:
            # Not every size fits the network; ONNX Runtime says so in its own errors.
            if side == SIDES[-1]:
                raise
        else:
            _read(row, graph, calls)
            break
    return row


def _read(row: Row, graph: bytes, calls: Sequence[Any]) -> None:
    """Compare both ways to read a file with ONNX Runtime, over calls of two batch sizes."""
    original, module = OnnxRuntime(graph), ow.from_onnx(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.onnx"
        path.write_bytes(graph)
        tolerance = max(1e-3, 5 * row.rounding)
        fast = ow.compile(path, calls[0], kernels=KERNELS, tolerance=tolerance)
    row.left = [note for note in fast.layers.notes if note.startswith("left to torch")]
    wanted = [outputs(original, calls[0])]
    try:
        wanted.append(outputs(original, calls[1]))
    except Exception:
        # The file is of one batch size.
        calls = calls[:1]
    row.any_batch = len(calls) == 2 and fast.batches.most is None
    pairs = list(zip(wanted, calls, strict=True))
    of_module = [largest_difference(one, outputs(module, call)) for one, call in pairs]
    taken = [(one, call) for one, call in pairs if len(call[0]) in fast.batches]
    of_fast = [largest_difference(one, outputs(fast, call)) for one, call in taken]
    row.absolute = max(absolute for absolute, _ in (*of_module, *of_fast))
    row.module = max(relative for _, relative in of_module)
    row.compiled = max(relative for _, relative in of_fast)


def _compile(row: Row, model: nn.Module, side: int) -> None:
    said: list[str] = []
    logger = logging.getLogger("openwork.torch_compile")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.propagate = False
    tolerance = max(1e-3, 5 * row.rounding)
    options = {"fallback": "eager", "tolerance": tolerance}
    fast = torch.compile(model, backend=backend, options=options)  # type: ignore[arg-type]
    worst = 0.0
    with torch.no_grad():
        for batch in (1, 2, 3):
            images = torch.randn(batch, 3, side, side)
            worst = max(worst, difference(model(images), fast(images)))
    row.compiled, row.left, row.any_batch = worst, said, True


def _print(row: Row) -> None:
    what = row.error or (
        f"{'any' if row.any_batch else 'fixed':>5} {row.compiled:9.1e} {row.module:9.1e} "
        f"{row.rounding:9.1e} {'WRONG ' if row.wrong else ''}{'; '.join(row.left)}"
    )
    print(f"{row.name:34} {row.door:13} {what}", flush=True)


if __name__ == "__main__":
    main()
