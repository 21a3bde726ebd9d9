"""Peak memory of one forward pass: VGG-16 dense in torch, and compiled sparse, loaded from a file.

    python benchmarks/memory.py [--density 0.15] [--threads 1] [--given]

VGG-16 with batch normalisation and one linear head, 224x224, one image; random channel-wise
patterns in every convolution but the first, float32. Each contender runs in a new process that only
imports, loads its file and calls the network once. The dense network is built on the meta device
and takes its weights from a mapped file, which is the least memory torch can use.

"peak" is the operating system's high-water mark of resident memory (VmHWM, Linux only), including
imports; "loaded" and "beyond imports" are on top of what is resident after the imports. Compiling
measures kernels, unless --given uses the first that fits. Writes memory-<threads>t.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

CONTENDERS = ("dense", "memory", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--density", type=float, default=0.15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--given", action="store_true", help="measure no kernels")
    # Used by the processes that this one starts.
    parser.add_argument("--prepare", choices=CONTENDERS)
    parser.add_argument("--measure", choices=CONTENDERS)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.prepare:
        prepare(options)
    elif options.measure:
        print(json.dumps(measure(options.measure, options.file, options.threads)))
    else:
        compare()


def prepare(options: argparse.Namespace) -> None:
    """Write the file that a contender loads."""
    import torch
    from networks import build, plan_for
    from safetensors.torch import save_file

    import openwork as ow

    torch.set_num_threads(options.threads)
    model = build("vgg16")
    if options.prepare == "dense":
        save_file(model.state_dict(), options.file)
        return
    ow.sparsify_(model, plan_for(model, options.density))
    wanted = ("*winograd4*",) if options.prepare == "speed" else ()
    kernels = {"*": (*wanted, "*-direct-*", "torch")} if options.given else None
    example = torch.randn(1, 3, 224, 224)
    ow.save(ow.compile(model, example, optimize=options.prepare, kernels=kernels), options.file)


def measure(contender: str, path: Path, threads: int) -> dict[str, float]:
    """Megabytes of one contender in this process: file, imports, loaded, peak, beyond imports."""
    import torch

    load = dense_loader() if contender == "dense" else compiled_loader()
    torch.set_num_threads(threads)
    imported = resident("VmRSS")
    model = load(path)
    model.eval()
    loaded = resident("VmRSS")
    with torch.inference_mode():
        model(torch.zeros(1, 3, 224, 224))
    peak = resident("VmHWM")
    file = path.stat().st_size / 1e6
    return {
        "file": file,
        "imports": imported,
        "loaded": loaded - imported,
        "peak": peak,
        "beyond imports": peak - imported,
    }


def dense_loader() -> "Callable[[Path], nn.Module]":
    """A function that loads the dense network; its imports are already done."""
    import torch
    from safetensors.torch import load_file

    def load(path: Path) -> "nn.Module":
        with torch.device("meta"):
            model = vgg16()
        model.load_state_dict(load_file(path), assign=True)
        return model

    return load


def compiled_loader() -> "Callable[[Path], nn.Module]":
    """A function that loads a compiled network; its imports are already done."""
    import openwork as ow

    return ow.load


def vgg16() -> "nn.Module":
    """The same network without torchvision, whose import would count against dense torch."""
    from torch import nn

    features: list[nn.Module] = []
    inputs = 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            conv = nn.Conv2d(inputs, outputs, 3, padding=1)
            features += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        features.append(nn.MaxPool2d(2))
    parts = {"features": nn.Sequential(*features), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts, classifier=nn.Linear(512 * 7 * 7, 1000)))


def resident(which: str) -> float:
    """Resident memory in megabytes: "VmRSS" now, "VmHWM" at most so far.

    Not ru_maxrss, which in a child process starts from its parent's memory.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {which}")


def compare() -> None:
    """Measure all contenders, one after another."""
    arguments = sys.argv[1:]
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CONTENDERS:
            file = ["--file", str(Path(folder, name)), *arguments]
            _run("--prepare", name, *file)
            results[name] = json.loads(_run("--measure", name, *file))
    # Imported here, so that the process that starts the others stays small.
    from record import machine

    from openwork.nn import Table

    names = {"dense": "dense, torch", "memory": 'optimize="memory"', "speed": 'optimize="speed"'}
    columns = tuple(results["dense"])
    rows = tuple((names[key], *(f"{row[c]:.0f}" for c in columns)) for key, row in results.items())
    note = f"MB (10^6 bytes); {' '.join(arguments) or 'density 0.15, 1 thread'}"
    Table(("VGG-16, one image", *columns), rows, notes=(note,)).print()
    threads = arguments[arguments.index("--threads") + 1] if "--threads" in arguments else "1"
    path = Path(__file__).with_name(f"memory-{threads}t.json")
    record = {"machine": machine(), "arguments": arguments, "megabytes": results}
    path.write_text(json.dumps(record, indent=1) + "\n")


def _run(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
