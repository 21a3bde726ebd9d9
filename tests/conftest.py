"""What the tests of several rooms share: places that cannot be written to, other processes."""

import contextlib
import gc
import importlib.util
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest
import torch

from openwork.kernels import remembered
from openwork.kernels.native import reason_missing

# `import channel_networks`: what the tests of several rooms share.
sys.path.insert(0, str(Path(__file__).parent))
# Decoded data sets are shared by all test processes, and kept from one run to the next.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "openwork"
os.environ.setdefault("OPENWORK_CACHE", str(_CACHE))
STUDIES = Path(__file__).parent.parent / "studies"
# Test processes share the cores, and threads that wait for each other spin.
torch.set_num_threads(1)
# A capture of a tiny network makes 10,000 objects: Python's collector looks less often.
gc.set_threshold(10_000, 10, 10)


def pytest_report_header() -> str:
    if reason_missing is None:
        return "compiled kernels: there"
    return f"compiled kernels: NOT THERE, their tests are left out: {reason_missing}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first: one that came last would keep a single core busy."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What has been loaded stays, a million objects: the collector never looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured times count as steady, however busy the machine is that runs the tests."""
    monkeypatch.setattr(remembered, "_MOST_SPREAD", float("inf"))


@pytest.fixture
def unwritable_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no file can be made."""
    if os.geteuid() == 0:
        # Permission bits do not bind root, but nobody makes files in sysfs.
        if not Path("/sys/kernel").is_dir():
            pytest.skip("root can write everywhere here")
        yield Path("/sys")
        return
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """`with full_disk(n)`: a file of this process that grows above n bytes fails to be written."""

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))

    return limited


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start(script, *arguments, processes=n)`: a script of the test's folder, under torchrun."""
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: object, processes: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable]
        if processes:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc_per_node={processes}"]
        command += [str(request.path.parent / "scripts" / script), *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        # A separate session, so that workers of torchrun can be ended with it.
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def finish(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """As `start`, but waits until the script has succeeded, and returns what it printed."""

    def run(script: str, *arguments: object, processes: int = 0) -> str:
        process = start(script, *arguments, processes=processes)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0, printed
        return printed

    return run


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """`study(name)`: the module of that name in the folder."""
    monkeypatch.syspath_prepend(str(STUDIES))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, STUDIES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def grid(
    study: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The runner, with its kernels chosen for this test alone."""
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "native")
    threads = torch.get_num_threads()
    yield study("_grid")
    torch.set_num_threads(threads)
