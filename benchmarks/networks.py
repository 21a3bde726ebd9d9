"""Whole networks: compiled sparse against the same network dense, in one run.

    python benchmarks/networks.py [--networks vgg16 resnet50 resnet32 inception] [--densities ...]
                                  [--threads 1] [--batch 1] [--seconds 20] [--torch-compile]
                                  [--bfloat16] [--rows 8] [--record networks]

Random channel-wise patterns in every convolution but the first and depthwise ones, and in the
linear layers of ConvNeXt's blocks, or with `--rows` patterns that so many filters share, float32.
`--bfloat16` adds each network compiled with
`precision="bfloat16"`; without AVX-512 BF16 that is the float32 network once more. Dense
baselines: ONNX Runtime (the strongest available in float32: it folds batch normalisation and fuses
activations), plain torch, torch.compile if asked for, and, if installed, OpenVINO in float32 and in
the precision that it chooses itself, which is bfloat16 on processors that support it. All
contenders of a row take turns, so that other load on the machine affects all of them equally. A
turn is an untimed call followed by a timed one, because the threads of the previous contender keep
spinning for a while. A time is the first quintile of the turns, and ratios are ratios of such
times.

Rates: "live" counts the multiply-adds of live weights, "as dense" those of the dense network in the
same time; the share is relative to the best rate of torch's matrix product, measured beforehand.
Winograd kernels need fewer multiply-adds than are counted, so rates may exceed that. Writes
<record>-<threads>t-b<batch>.json, and keeps other networks there that this processor ran with the
same instruction set. A file of another one is not overwritten: `--record` names another file.
"""

import argparse
import json
import math
import platform
import statistics
import time
from pathlib import Path

import torch
from baselines import Call, contenders
from record import kept_record, machine
from torch import nn

import openwork as ow
from openwork.models.zoo import import_zoo
from openwork.nn import Table, count_macs
from openwork.report.rate import best_rate

SIZES = {"vgg16": 224, "resnet50": 224, "resnet32": 32, "inception": 299}
# Of torchvision, with depthwise convolutions.
EFFICIENT = ("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0")
# The same of timm.
EFFICIENT_TIMM = ("efficientnet_lite0", "regnety_004", "mobilenetv4_conv_small", "ghostnet_100")
SIZES |= dict.fromkeys((*EFFICIENT, *EFFICIENT_TIMM, "convnext_tiny"), 224)


def build(name: str) -> nn.Module:
    """The dense network in evaluation mode, with batch statistics like those of a trained one."""
    torch.manual_seed(0)
    if name == "resnet32":
        model = ow.models.build("resnet32")
    elif name in EFFICIENT_TIMM:
        model = import_zoo("timm").create_model(name)
    else:
        zoo = import_zoo("torchvision").models
        if name == "vgg16":
            model = zoo.vgg16_bn(weights=None)
            # Only the convolutional part and one linear head.
            model.avgpool, model.classifier = nn.Identity(), nn.Linear(512 * 7 * 7, 1000)
        elif name == "inception":
            model = zoo.inception_v3(weights=None, init_weights=True)
        else:
            model = zoo.get_model(name, weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            state = module.state_dict()
            state["running_mean"].normal_(0, 0.1)
            state["running_var"].uniform_(0.5, 1.5)
            state["weight"].uniform_(0.5, 1.5)
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            # Nearly nothing of a block would be left.
            nn.init.uniform_(parameter, 0.1, 0.5)
    return model.eval()


def plan_for(model: nn.Module, density: float, rows: int = 1) -> ow.Plan:
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    dense = [next(iter(convs)), *(name for name, conv in convs.items() if conv.groups > 1)]
    sparse: dict[str, object] = {"pattern": "random", "density": density}
    if rows > 1:
        sparse |= {"pattern": "block", "b_out": rows}
    # Those of channels-last blocks; heads stay dense.
    linears = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "features" in n]
    wanted = {"conv:*": sparse} | dict.fromkeys(linears, sparse) | dict.fromkeys(dense, "dense")
    return ow.Plan(wanted)


@torch.inference_mode()
def race(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Seconds per call: the first quintile of its turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or min(map(len, times.values())) < 7:
        for name, call in calls.items():
            call()
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.quantiles(turns, n=5)[0] for name, turns in times.items()}


def measure(name: str, options: argparse.Namespace, peak: float) -> dict:
    """One network: seconds of each contender, and the rates that follow."""
    dense = build(name)
    example = torch.randn(options.batch, 3, SIZES[name], SIZES[name])
    calls = contenders(dense, example, options.threads, options.torch_compile)
    macs = {"dense": sum(count_macs(dense, example[:1]).values()) * options.batch}
    differences = {}
    for density in options.densities:
        model = dense
        if density < 1:
            model = ow.sparsify_(build(name), plan_for(dense, density, options.rows))
        macs[f"{density}"] = sum(count_macs(model, example[:1]).values()) * options.batch
        for precision in ("float32", "bfloat16") if options.bfloat16 else ("float32",):
            fast = ow.compile(model, example, precision=precision)
            kind = f"{density}" if precision == "float32" else f"bfloat16 {density}"
            differences[kind] = fast.difference
            calls[f"openwork {kind}"] = lambda fast=fast: fast(example)
    times = race(calls, options.seconds)
    return {
        "seconds": times,
        "macs": macs,
        "difference": differences,
        "rates": {
            str(d): _rates(macs, str(d), times[f"openwork {d}"], peak) for d in options.densities
        },
    }


def _rates(macs: dict[str, int], density: str, seconds: float, peak: float) -> dict[str, float]:
    live = macs[density] / seconds
    return {"live": live, "as dense": macs["dense"] / seconds, "share": live / peak}


def tables(results: dict[str, dict], peak: float, note: str) -> list[Table]:
    """Milliseconds of the baselines, speed-ups over ONNX Runtime, and rates."""
    baselines = [c for c in next(iter(results.values()))["seconds"] if "openwork" not in c]
    ours = [c for c in next(iter(results.values()))["seconds"] if "openwork" in c]
    rows, rates = [], []
    for name, result in results.items():
        times = result["seconds"]
        fast = (times["onnxruntime"] / times[c] if c in times else math.nan for c in ours)
        row = (f"{1e3 * times[c]:.2f}" if c in times else "-" for c in baselines)
        rows.append((name, *row, *(f"{ratio:.2f}x" for ratio in fast)))
        for density, rate in result["rates"].items():
            numbers = (2e-9 * rate["live"], 2e-9 * rate["as dense"], 100 * rate["share"])
            rates.append((name, density, *(f"{number:.0f}" for number in numbers)))
    columns = (
        "network",
        *(f"{c} ms" for c in baselines),
        *(c.removeprefix("openwork ") for c in ours),
    )
    return [
        Table(columns, tuple(rows), notes=(f"speed-up over ONNX Runtime; {note}",)),
        Table(
            ("network", "density", "live GFLOP/s", "as dense GFLOP/s", "% of best"),
            tuple(rates),
            notes=(f"best: torch's matrix product, {2e-9 * peak:.0f} GFLOP/s",),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(SIZES)[:4], choices=list(SIZES))
    parser.add_argument("--densities", nargs="+", type=float, default=[1, 0.5, 0.25, 0.15, 0.1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--record", default="networks", help="start of the file's name")
    parser.add_argument("--bfloat16", action="store_true", help="ours in bfloat16 too")
    parser.add_argument("--rows", type=int, default=1, help="filters that share a pattern")
    parser.add_argument("--torch-compile", action="store_true", help="minutes to compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    path = Path(__file__).with_name(f"{options.record}-{options.threads}t-b{options.batch}.json")
    kept = kept_record(path).get("results", {})
    peak = best_rate()
    results = {name: measure(name, options, peak) for name in options.networks}
    note = (
        f"{options.threads} threads, batch {options.batch}; "
        f"{platform.platform()}, torch {torch.__version__}"
    )
    for table in tables(results, peak, note):
        table.print()
    record = {
        "machine": machine(),
        "threads": options.threads,
        "batch": options.batch,
        "best_rate": peak,
        "results": kept | results,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
