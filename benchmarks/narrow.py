"""Networks in int8: compiled sparse and dense against ONNX Runtime and, if there, OpenVINO.

    python benchmarks/narrow.py [--networks resnet50 vgg16 mobilenet_v2] [--rows 8]
                                [--densities 1 0.5 0.25 0.1] [--threads 1] [--seconds 20]
                                [--folder build/narrow] [--prepare] [--out narrow-1t-b1.json]

Patterns are `block(rows, 1)` in every convolution but the first and depthwise ones. Both libraries
quantise statically (QDQ: weights int8 for each output channel, activations uint8 for each tensor)
on the same noise; OpenVINO runs the QDQ of ONNX Runtime, which runs float32 too. What is made is
kept in the folder, so that a second run measures at once. All contenders of a network take turns; a
time is the first quintile of a contender's turns, as in networks.py. Batch 1. Writes
narrow-<threads>t-b1.json, or `--out`; a file with rows of another processor is left alone.
"""

import argparse
import importlib.util
import json
from pathlib import Path

import networks
import torch
from baselines import Call, onnx_bytes, onnxruntime_call, openvino_call
from record import kept_record, machine
from torch import nn

import openwork as ow
from openwork.models.zoo import import_zoo
from openwork.nn import Table, count_macs

NETWORKS = ("resnet50", "vgg16", "mobilenet_v2")


def build(name: str) -> nn.Module:
    """The dense network in evaluation mode, with batch statistics like those of a trained one."""
    if name != "mobilenet_v2":
        return networks.build(name)
    torch.manual_seed(0)
    model = import_zoo("torchvision").models.mobilenet_v2(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.get_buffer("running_mean"), 0, 0.1)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
    return model.eval()


def sparse(name: str, density: float, rows: int) -> nn.Module:
    """The network with blocks of `rows` filters that share their inputs."""
    model = build(name)
    if density == 1:
        return model
    convs = [(path, m) for path, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    plan: dict[str, object] = {"conv:*": {"pattern": "block", "density": density, "b_out": rows}}
    plan |= {path: "dense" for path, m in convs[:1] + [c for c in convs if c[1].groups > 1]}
    return ow.sparsify_(model, ow.Plan(plan)).eval()


def images(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, 3, 224, 224, generator=generator) for _ in range(count)]


def int8_of_onnxruntime(graph: bytes, path: Path) -> None:
    """ONNX Runtime's own static quantisation, for its own kernels."""
    from onnxruntime.quantization import (  # type: ignore[import-not-found]
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": image.numpy()} for image in images(4)]

        def get_next(self) -> dict | None:  # type: ignore[override]
            return self.left.pop() if self.left else None

    wide, ready = path.with_suffix(".f32.onnx"), path.with_suffix(".ready.onnx")
    import onnx  # type: ignore[import-not-found]

    model = onnx.load_from_string(graph)
    given = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["x" if each == given else each for each in node.input]
    model.graph.input[0].name = "x"
    onnx.save(model, wide)
    quant_pre_process(wide, ready)
    quantize_static(
        ready,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    wide.unlink()
    ready.unlink()


def prepared(name: str, options: argparse.Namespace) -> dict[str, Path]:
    """The file of each contender; those that are missing are made."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "onnxruntime f32": folder / f"{name}.onnx",
        "onnxruntime int8": folder / f"{name}.int8.onnx",
    }
    example = images(1)[0]
    if not files["onnxruntime f32"].exists():
        files["onnxruntime f32"].write_bytes(onnx_bytes(build(name), example))
    if not files["onnxruntime int8"].exists():
        graph = files["onnxruntime f32"].read_bytes()
        int8_of_onnxruntime(graph, files["onnxruntime int8"])
    for density in options.densities:
        kind = "dense" if density == 1 else f"b{options.rows}"
        path = folder / f"{name}.{kind}.{density:g}.ow"
        files[f"openwork {density:g}"] = path
        if not path.exists():
            narrow, _ = ow.quantize(sparse(name, density, options.rows), images(2), tolerance=1)
            compiled = ow.compile(narrow, example)
            print(f"{name} {density:g}: difference {compiled.difference:.1e}", flush=True)
            for note in compiled.layers.notes:
                print(f"  {note}")
            ow.save(compiled, path)
    return files


def measure(name: str, options: argparse.Namespace) -> dict:
    """One network: seconds of each contender."""
    files, example = prepared(name, options), images(1)[0]
    if options.prepare:
        return {}
    calls: dict[str, Call] = {}
    for contender, path in files.items():
        if path.suffix == ".onnx":
            calls[contender] = onnxruntime_call(path.read_bytes(), example, options.threads)
        else:
            fast = ow.load(path)
            calls[contender] = lambda fast=fast: fast(example)
    if importlib.util.find_spec("openvino"):
        graph = files["onnxruntime int8"].read_bytes()
        calls["openvino int8"] = openvino_call(graph, example, options.threads, None)
    macs = {"1": sum(count_macs(build(name), example).values())}
    return {"seconds": networks.race(calls, options.seconds), "macs": macs}


def table(results: dict[str, dict]) -> Table:
    """Milliseconds, and speed-ups over ONNX Runtime in float32."""
    contenders = list(next(iter(results.values()))["seconds"])
    rows = []
    for name, result in results.items():
        times = result["seconds"]
        wide = times["onnxruntime f32"]
        ratios = (f"{1e3 * times[c]:.1f} ({wide / times[c]:.2f}x)" for c in contenders)
        rows.append((name, *ratios))
    return Table(("network", *(f"{c} ms" for c in contenders)), tuple(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--densities", nargs="+", type=float, default=[1, 0.5, 0.25, 0.1])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--folder", type=Path, default=Path("build/narrow"))
    parser.add_argument("--prepare", action="store_true", help="make the files and stop")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    path = options.out or Path(__file__).with_name(f"narrow-{options.threads}t-b1.json")
    kept = kept_record(path).get("networks", {})
    torch.set_num_threads(options.threads)
    results = {name: measure(name, options) for name in options.networks}
    if options.prepare:
        return
    table(results).print()
    record = {"machine": machine(), "rows": options.rows, "networks": kept | results}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
