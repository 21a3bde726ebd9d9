"""Whole networks: compiled sparse against the same network dense, in one run.

    python benchmarks/networks.py [--networks vgg16 resnet50 resnet32 inception] [--densities ...]
                                  [--threads 1] [--batch 1] [--seconds 10]

Random channel-wise patterns, every convolution but the first, float32. Dense baselines: ONNX
Runtime (the strongest at hand: it folds batch normalisation and fuses activations), torch as it is,
and where installed OpenVINO in float32 and in its own choice of precision. All contenders of one
row take turns, so that whatever else the machine does falls on all of them alike; a time is the
first quintile of its turns, a ratio is of such times. Writes networks-<threads>t-b<batch>.json.
"""

import argparse
import importlib.util
import io
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from record import machine
from torch import nn

import openwork as ow
from openwork.models.zoo import import_zoo
from openwork.nn import LayerTable, count_macs

SIZES = {"vgg16": 224, "resnet50": 224, "resnet32": 32, "inception": 299}
Call = Callable[[], object]


def build(name: str) -> nn.Module:
    """The dense network in evaluation mode, with batch statistics as if it had been trained."""
    torch.manual_seed(0)
    if name == "resnet32":
        model = ow.models.build("resnet32")
    else:
        zoo = import_zoo("torchvision").models
        if name == "vgg16":
            model = zoo.vgg16_bn(weights=None)
            # The convolutional part and one linear head.
            model.avgpool, model.classifier = nn.Identity(), nn.Linear(512 * 7 * 7, 1000)
        elif name == "resnet50":
            model = zoo.resnet50(weights=None)
        else:
            model = zoo.inception_v3(weights=None, init_weights=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            state = module.state_dict()
            state["running_mean"].normal_(0, 0.1)
            state["running_var"].uniform_(0.5, 1.5)
            state["weight"].uniform_(0.5, 1.5)
    return model.eval()


def plan_for(model: nn.Module, density: float) -> ow.Plan:
    first = next(name for name, m in model.named_modules() if isinstance(m, nn.Conv2d))
    return ow.Plan({"conv:*": {"pattern": "random", "density": density}, first: "dense"})


def onnx_bytes(model: nn.Module, example: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (example,), buffer, dynamo=False)  # type: ignore[arg-type]
    return buffer.getvalue()


def onnxruntime_call(graph: bytes, example: torch.Tensor, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: example.numpy()}
    return lambda: session.run(None, feed)


def openvino_call(graph: bytes, example: torch.Tensor, threads: int, precision: str | None) -> Call:
    import openvino  # type: ignore[import-not-found]

    core = openvino.Core()
    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": threads}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    request = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", settings)
    array = example.numpy()
    return lambda: request(array)


def contenders(dense: nn.Module, example: torch.Tensor, threads: int) -> dict[str, Call]:
    graph = onnx_bytes(dense, example)
    calls: dict[str, Call] = {
        "onnxruntime": onnxruntime_call(graph, example, threads),
        "torch": lambda: dense(example),
    }
    if importlib.util.find_spec("openvino"):
        calls["openvino f32"] = openvino_call(graph, example, threads, "f32")
        calls["openvino"] = openvino_call(graph, example, threads, None)
    return calls


def race(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Seconds of each call: the first quintile of its turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or min(map(len, times.values())) < 7:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.quantiles(own, n=5)[0] for name, own in times.items()}


@torch.inference_mode()
def measure(name: str, densities: list[float], batch: int, threads: int, seconds: float) -> dict:
    dense = build(name)
    example = torch.randn(batch, 3, SIZES[name], SIZES[name])
    calls = contenders(dense, example, threads)
    compiled = {}
    for density in densities:
        with torch.inference_mode(False):
            model = ow.sparsify_(build(name), plan_for(dense, density)) if density < 1 else dense
            fast = ow.compile(model, example.clone())
        compiled[density] = fast
        calls[f"openwork {density}"] = lambda fast=fast: fast(example)
    times = race(calls, seconds)
    return {
        "seconds": times,
        "ratio": {d: times["onnxruntime"] / times[f"openwork {d}"] for d in densities},
        "ratio_torch": {d: times["torch"] / times[f"openwork {d}"] for d in densities},
        "difference": {d: compiled[d].difference for d in densities},
        "macs": sum(count_macs(dense, example[:1]).values()) * batch,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--densities", nargs="+", type=float, default=[1, 0.5, 0.25, 0.15, 0.1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {
        name: measure(name, options.densities, options.batch, options.threads, options.seconds)
        for name in options.networks
    }
    rows = []
    for name, result in results.items():
        times = result["seconds"]
        row = [name, *(1e3 * times[c] for c in ("torch", "onnxruntime"))]
        rows.append((*row, *(f"{result['ratio'][d]:.2f}x" for d in options.densities)))
    columns = ("network", "torch ms", "ORT ms", *(f"at {d}" for d in options.densities))
    note = (
        f"speed-up over dense in ONNX Runtime; {options.threads} threads, batch {options.batch}; "
        f"{platform.platform()}, torch {torch.__version__}"
    )
    LayerTable(columns, tuple(rows), notes=(note,)).print()
    path = Path(__file__).with_name(f"networks-{options.threads}t-b{options.batch}.json")
    record = {
        "machine": machine(),
        "threads": options.threads,
        "batch": options.batch,
        "results": results,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
