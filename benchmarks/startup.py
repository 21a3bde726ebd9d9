"""How long until a network's first result, and in how much memory? Each in a new process.

    python benchmarks/startup.py [--density 1.0 0.25] [--repeats 5] [--record]

ResNet-50, 224x224, one image, one thread, float32, random channel-wise patterns in every
convolution but the first. The same network is loaded by `openwork.runtime` from the file of
`openwork.save` and from its packed form, by ONNX Runtime, and by torch (torchvision's code, weights
from safetensors). The processes take turns; times are medians. The rows of
startup.json are three runs of each contender one after another.

imports, load, call: seconds of each, one after another, without the start of Python itself.
"imported", "loaded", "called": megabytes resident after each; "file" is the file's size.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from networks import build, plan_for
from record import machine
from safetensors.torch import save_file

import openwork as ow
from openwork._files import write_text

# (imports, load, call) of each contender.
CONTENDERS = {
    "openwork.runtime": (
        "import numpy as np; from openwork import runtime; from openwork.kernels import native",
        "network = runtime.load('fast.safetensors', threads=1)",
        "network(x)",
    ),
    "openwork.runtime, packed": (
        "import numpy as np; from openwork import runtime; from openwork.kernels import native",
        "network = runtime.load('fast.ow', threads=1)",
        "network(x)",
    ),
    "ONNX Runtime": (
        "import numpy as np; import onnxruntime",
        "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1; "
        "network = onnxruntime.InferenceSession('model.onnx', options, "
        "providers=['CPUExecutionProvider'])",
        "network.run(None, {network.get_inputs()[0].name: x})",
    ),
    "torch": (
        "import numpy as np; import torch; from safetensors.torch import load_file; "
        "from openwork.models.zoo import import_zoo; zoo = import_zoo('torchvision').models; "
        "torch.set_num_threads(1)",
        "network = zoo.resnet50(weights=None).eval(); "
        "network.load_state_dict(load_file('model.safetensors'))",
        "torch.inference_mode().__enter__(); network(torch.from_numpy(x))",
    ),
}
_NAMES = ("fast.safetensors", "fast.ow", "model.onnx", "model.safetensors")
FILES = dict(zip(CONTENDERS, _NAMES, strict=True))
PROCESS = """
import json, time
def resident():
    with open("/proc/self/status") as file:
        return next(int(l.split()[1]) * 1024 / 1e6 for l in file if l.startswith("VmRSS"))
times, memory = [time.perf_counter()], []
{imports}
times.append(time.perf_counter()); memory.append(resident())
{load}
times.append(time.perf_counter()); memory.append(resident())
x = np.zeros((1, 3, 224, 224), np.float32)
{call}
times.append(time.perf_counter()); memory.append(resident())
print(json.dumps([b - a for a, b in zip(times, times[1:])] + memory))
"""
COLUMNS = ("imports", "load", "call", "imported", "loaded", "called")


def prepare(density: float, folder: Path) -> None:
    """Write the four files."""
    torch.set_num_threads(1)
    model, example = build("resnet50"), torch.randn(1, 3, 224, 224)
    if density < 1:
        ow.sparsify_(model, plan_for(model, density))
    fast = ow.compile(model, example)
    ow.save(fast, folder / "fast.safetensors")
    ow.save(fast, folder / "fast.ow", packed=True)
    dense = ow.densify_(model)
    ow.export_onnx(dense, example, folder / "model.onnx")
    state = {name: tensor.contiguous() for name, tensor in dense.state_dict().items()}
    save_file(state, folder / "model.safetensors")


def rows_of(density: float, repeats: int) -> list[dict[str, Any]]:
    """A row for each contender, printed."""
    found: dict[str, list[list[float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(density, folder)
        for _ in range(repeats):
            for name, (imports, load, call) in CONTENDERS.items():
                code = PROCESS.format(imports=imports, load=load, call=call)
                ran = subprocess.run(
                    [sys.executable, "-c", code], cwd=folder, check=True, stdout=subprocess.PIPE
                )
                found[name].append(json.loads(ran.stdout))
        sizes = {name: (folder / file).stat().st_size / 1e6 for name, file in FILES.items()}
    rows = []
    for name, runs in found.items():
        middle = [statistics.median(each) for each in zip(*runs, strict=True)]
        row = {"network": "resnet50", "density": density, "contender": name, "file": sizes[name]}
        rows.append(row | dict(zip(COLUMNS, middle, strict=True)))
        shown = " ".join(f"{column} {rows[-1][column]:.3g}" for column in ("file", *COLUMNS))
        print(f"{density:5} {name:26} {shown}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--density", type=float, nargs="+", default=[1.0, 0.25])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="write startup.json")
    options = parser.parse_args()
    rows = [row for density in options.density for row in rows_of(density, options.repeats)]
    if options.record:
        record = {"machine": machine(), "rows": rows}
        path = Path(__file__).with_name("startup.json")
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
