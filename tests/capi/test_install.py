"""The installed C library is found by CMake and by pkg-config, wherever it was moved to."""

import shutil
import subprocess
from pathlib import Path

import built
import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow

EXAMPLES = built.ROOT / "examples" / "c"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed, and moved afterwards."""
    library = built.native("libopenwork.so")
    trees = [path.parent for path in built.ROOT.glob("build/*/openwork.pc")]
    trees = [tree for tree in trees if (tree / "CMakeCache.txt").exists()]
    trees = [tree for tree in trees if "OPENWORK_PYTHON:BOOL=OFF" not in _cache(tree)]
    if shutil.which("cmake") is None or not trees:
        pytest.skip(f"{library} was built elsewhere, or CMake is missing")
    folder = tmp_path_factory.mktemp("installed")
    command = ["cmake", "--install", str(trees[0]), "--component", "c", "--prefix"]
    built.run([*command, str(folder / "first")])
    return (folder / "first").rename(folder / "moved")


def _cache(tree: Path) -> str:
    return (tree / "CMakeCache.txt").read_text()


def _check(program: Path, folder: Path) -> None:
    """`program`, the example in C, gives the class that torch gives."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(4, 3, 6, 7)
    fast = ow.compile(model, images, kernels={"*": "f32*"})
    ow.save(fast, folder / "fast.ow", packed=True)
    images.numpy().astype(np.float32).tofile(folder / "images.f32")
    written = built.run([str(program), str(folder / "fast.ow"), str(folder / "images.f32"), "1"])
    found = [int(line.split()[0]) for line in written.splitlines() if line.strip()]
    assert found == model(images).argmax(1).tolist()


def test_cmake_finds_it_and_builds_both_examples(prefix: Path, tmp_path: Path) -> None:
    configure = ["cmake", "-S", str(EXAMPLES), "-B", str(tmp_path / "build")]
    built.run([*configure, f"-DCMAKE_PREFIX_PATH={prefix}"])
    built.run(["cmake", "--build", str(tmp_path / "build")])
    assert (tmp_path / "build" / "run").exists()
    _check(tmp_path / "build" / "classify", tmp_path)


def test_pkg_config_finds_it(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("pkg-config") is None or shutil.which("cc") is None:
        pytest.skip("pkg-config or a C compiler is missing")
    (place,) = prefix.rglob("openwork.pc")
    monkeypatch.setenv("PKG_CONFIG_PATH", str(place.parent))
    flags = built.run(["pkg-config", "--cflags", "--libs", "openwork"]).split()
    assert built.run(["pkg-config", "--modversion", "openwork"]).strip() == ow.__version__
    program = tmp_path / "classify"
    library = place.parent.parent
    command = [
        "cc",
        "-o",
        str(program),
        str(EXAMPLES / "classify.c"),
        *flags,
        f"-Wl,-rpath,{library}",
    ]
    subprocess.run(command, check=True)
    _check(program, tmp_path)
