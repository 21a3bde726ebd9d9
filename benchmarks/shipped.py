"""One trained network wherever it can be shipped: is every test image given the same class?

    make wheels c aarch64-build
    python benchmarks/shipped.py --wheel dist/openwork-...-cp311-....whl [--trained FOLDER]
                                 [--images 10000] [--emulated 1000] [--record]

vgg-small at half width is trained on CIFAR-10 for one epoch, cut (30 % of its feature maps, then
half of its kernels), compacted, compiled and saved, all with the commands of `openwork`. Then the
test images run

- in a new environment that holds the wheel and numpy, from the file and from its packed form;
- in C: `openwork_classify` says classes, `openwork_run` writes outputs;
- in ONNX Runtime, from `openwork.export_onnx` of the compacted network;
- under qemu-aarch64, packed for NEON: `--emulated` of them.

Each is compared with the compacted network in torch: how many images have the same class, and the
largest difference of an output, relative to the largest output of its image. `--trained` keeps the
steps of training in a folder, and takes them from there. `--record` writes shipped.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from record import machine

import openwork as ow
from openwork import data, runtime
from openwork._files import write_text
from openwork.interchange.onnx_runtime import OnnxRuntime

ROOT = Path(__file__).resolve().parent.parent
CUTS = ("--granularity", "feature_map", "--ratio", "0.3", "--then", "kernel", "--ratio", "0.5")
MODEL = ("--model", "vgg-small", "--depth-multiplier", "0.5", "--data", "cifar10", "--epochs", "1")
BATCH = 100
# Runs where numpy is all there is.
WITH_NUMPY = """
import sys, time
import numpy as np
from openwork import runtime

network = runtime.load(sys.argv[1], threads=1)
images = np.load("images.npy")
began = time.perf_counter()
parts = [network(images[first : first + 100]) for first in range(0, len(images), 100)]
print(time.perf_counter() - began)
np.save("found.npy", np.concatenate(parts))
sys.exit("torch" in sys.modules)
"""


@dataclass
class Row:
    """What one place gave; seconds are those of its calls, files read and written included in C."""

    place: str
    images: int
    same_class: int
    worst_difference: float
    seconds: float


def openwork(*arguments: object) -> None:
    """Run a command of openwork."""
    subprocess.run([sys.executable, "-m", "openwork", *map(str, arguments)], check=True)


def train(folder: Path) -> Path:
    """The compacted network in `folder`; what is there already is taken as it is."""
    made = folder / "compacted" / "model.safetensors"
    if not made.exists():
        openwork("train", *MODEL, "--out", folder / "trained")
        cut = folder / "cut"
        openwork(
            "prune", folder / "trained", *CUTS, "--criterion", "l1", "--retrain", 1, "--out", cut
        )
        openwork("compact", cut, "--out", folder / "compacted")
    return made


def compare(place: str, wanted: np.ndarray, found: np.ndarray, seconds: float) -> Row:
    """A row, which is printed."""
    wanted = wanted[: len(found)]
    apart = np.abs(found - wanted).max(1) / np.abs(wanted).max(1)
    same = int((found.argmax(1) == wanted.argmax(1)).sum())
    row = Row(place, len(found), same, float(apart.max()), round(seconds, 2))
    print(row, flush=True)
    return row


def with_wheel(wheel: Path, folder: Path) -> Callable[[str], tuple[np.ndarray, float]]:
    """Runs a file in a new environment that holds the wheel and what it needs."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    own = folder / "venv" / "bin" / "python"
    install = [own, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, wheel.resolve()], check=True)
    (folder / "with_numpy.py").write_text(WITH_NUMPY)

    def run(name: str) -> tuple[np.ndarray, float]:
        command = [own, "-I", "with_numpy.py", name]
        ran = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
        return np.load(folder / "found.npy"), float(ran.stdout)

    return run


def with_library(command: list[str], network: Path, images: np.ndarray) -> tuple[np.ndarray, float]:
    """Outputs that the example `run` writes, given a batch of images per line."""
    folder, lines = network.parent, []
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        part.tofile(folder / f"{first}.in")
        lines.append(f"{network} {len(part)} 1 {folder}/{first}.in {folder}/{first}.out")
    began = time.perf_counter()
    subprocess.run(command, input="\n".join(lines), text=True, check=True)
    seconds = time.perf_counter() - began
    files = [folder / f"{first}.out" for first in range(0, len(images), BATCH)]
    return np.concatenate([np.fromfile(file, np.float32) for file in files]).reshape(
        len(images), -1
    ), seconds


def classes_in_c(network: Path, images: np.ndarray) -> np.ndarray:
    """The class that the example `classify` prints for each image."""
    images.tofile(network.parent / "images.f32")
    program = str(ROOT / "build" / "c" / "openwork_classify")
    command = [program, str(network), str(network.parent / "images.f32")]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return np.array([int(line.split()[0]) for line in ran.stdout.splitlines()])


@torch.no_grad()
def measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    """A row for each place."""
    torch.set_num_threads(1)
    compacted = train(options.trained or folder)
    dataset = data.load("cifar10")
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (dataset.mean, dataset.std))
    images = dataset.test.images[: options.images].astype(np.float32) / 255
    images = np.ascontiguousarray((images - mean) / std)
    np.save(folder / "images.npy", images)
    model = ow.load(compacted).eval()
    tensors = torch.from_numpy(images).split(BATCH)
    wanted = torch.cat([model(part) for part in tensors]).numpy()
    accuracy = (wanted.argmax(1) == dataset.test.labels[: options.images]).mean()
    print(f"{accuracy:.2%} of the test images are classified correctly", flush=True)

    fast = folder / "fast.safetensors"
    openwork("compile", compacted, "--out", fast, "--threads", 1)
    runtime.pack(fast, folder / "fast.ow", threads=1)
    rows = []
    run = with_wheel(options.wheel, folder)
    for name in ("fast.safetensors", "fast.ow"):
        rows.append(compare(f"wheel and numpy, {name}", wanted, *run(name)))
    if not (classes_in_c(folder / "fast.ow", images) == wanted.argmax(1)).all():
        raise SystemExit("the example in C gives other classes")
    program = str(ROOT / "build" / "c" / "openwork_run")
    rows.append(compare("C", wanted, *with_library([program], folder / "fast.ow", images)))

    ow.export_onnx(model, tensors[0], folder / "model.onnx")
    session = OnnxRuntime((folder / "model.onnx").read_bytes())
    began = time.perf_counter()
    found = torch.cat([session(part)[0] for part in tensors]).numpy()
    rows.append(compare("ONNX Runtime", wanted, found, time.perf_counter() - began))

    runtime.pack(fast, folder / "neon.ow", isa="neon")
    program = str(ROOT / "build" / "aarch64" / "openwork_run")
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", program]
    few = images[: options.emulated]
    rows.append(compare("qemu-aarch64", wanted, *with_library(command, folder / "neon.ow", few)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="for this Python")
    parser.add_argument("--trained", type=Path, help="folder that keeps what was trained")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--emulated", type=int, default=1_000)
    parser.add_argument("--record", action="store_true", help="write shipped.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measure(options, Path(name))
    if options.record:
        record = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        path = Path(__file__).with_name("shipped.json")
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
