"""The commands, run as a person runs them."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from parts import part
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import openwork as ow
from openwork._files import locked_folder
from openwork.cli.app import app, main
from openwork.errors import CheckpointError
from openwork.kernels.remembered import remember, remembered_path

PLAN = 'seed: 1\nlayers:\n  "conv:*": {pattern: random, density: 0.2}\n  features.0: dense\n'


@pytest.fixture
def images(tmp_path: Path) -> str:
    """A folder of two classes, eight images each, grey squares of 16 pixels."""
    for label, shade in (("dark", 20), ("light", 220)):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for index in range(8):
            Image.new("L", (16, 16), shade + index).save(folder / f"{index}.png")
    return f"folder:{tmp_path / 'images'}"


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openwork", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small trained network, and a file where a folder would have to be."""
    model = ow.models.build("mnist_3conv", in_channels=1, image_size=8, depth_multiplier=0.25)
    (tmp_path / "run").mkdir()
    ow.save(model, tmp_path / "run" / "model.safetensors", metrics={"data": "mnist-subset"})
    (tmp_path / "file").write_text("")
    return tmp_path / "run"


def _train(out: Path, images: str, *more: str) -> list[str]:
    fixed = ["train", "--model", "vgg-small", "--data", images, "--optimizer", "adam"]
    return [*fixed, "--batch-size", "6", "--out", str(out), *more]


@pytest.mark.parametrize("fuse", [True, False])
def test_norms_are_fused_on_request(
    tmp_path: Path, images: str, fuse: bool, fused: list[nn.Module]
) -> None:
    command = _train(tmp_path / "run", images, "--epochs", "1", *(["--fuse"] if fuse else []))
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert len(fused) == fuse


def test_train_eval_and_resume(tmp_path: Path, images: str, plan: str) -> None:
    runner = CliRunner()
    out = tmp_path / "run"
    command = _train(out, images, "--plan", plan, "--epochs", "3")
    result = runner.invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "after 3 epochs" in result.stdout
    assert {p.name for p in out.iterdir()} == {
        "events",
        "metrics.csv",
        "model.safetensors",
        "picture.svg",
        "plan.yaml",
        "sparsity.csv",
        "state.safetensors",
    }
    assert ow.Plan.from_yaml(out / "plan.yaml") == ow.Plan.from_yaml(plan)

    for path in (out, out / "model.safetensors"):
        result = runner.invoke(app, ["eval", str(path)], catch_exceptions=False)
        assert result.exit_code == 0
        assert "test accuracy" in result.stdout
        assert "4 test images" in result.stdout

    again = runner.invoke(app, [*command, "--resume"], catch_exceptions=False)
    assert again.exit_code == 0
    with pytest.raises(ow.CheckpointError, match="holds a run already"):
        runner.invoke(app, command, catch_exceptions=False)
    with pytest.raises(ow.CheckpointError, match="epochs is 3 there, 2 here"):
        runner.invoke(app, [*command, "--resume", "--epochs", "2"], catch_exceptions=False)
    longer = runner.invoke(app, [*command, "--resume", "--epochs", "4"], catch_exceptions=False)
    assert "after 4 epochs" in longer.stdout
    assert len((out / "metrics.csv").read_text().splitlines()) == 5


def test_options_override_a_recipe_file(tmp_path: Path, images: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("optimizer: sgd\nlr: 0.05\nepochs: 9\n")
    out = tmp_path / "run"
    command = _train(out, images, "--recipe", str(recipe), "--epochs", "1")
    CliRunner().invoke(app, command, catch_exceptions=False)
    rows = (out / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2
    # adam was given on the command line, so the file's rate for sgd does not hold for it.
    assert float(rows[1].split(",")[1]) < 1e-3


def test_preview_prints_the_table(plan: str) -> None:
    command = ["preview", "--model", "vgg-small", "--plan", plan]
    result = CliRunner().invoke(app, [*command, "--channels", "1", "--image-size", "28"])
    assert result.exit_code == 0
    assert "features.3" in result.stdout
    assert "live MACs" in result.stdout


def test_errors_reach_the_terminal_as_one_line(tmp_path: Path, images: str) -> None:
    result = _run("train", "--model", "vgg-smal", "--data", images, "--out", str(tmp_path / "r"))
    assert result.returncode == 1
    assert "error: `name`" in result.stderr
    assert "vgg-small" in result.stderr
    assert "Traceback" not in result.stderr


def test_every_error_of_ours_ends_in_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["openwork", "eval", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bench RUN --picture RUN/../file/a.png", "`picture`=.* cannot be written to"),
        ("bench RUN --out RUN/../file/a", "`out`=.* cannot be written to"),
        ("compile RUN --out RUN/../file/a", "`out`=.* cannot be written to"),
        ("observe RUN --picture RUN/../file/a.png", "`picture`=.* cannot be written to"),
        ("bench RUN --threads 0", "`threads`=0 must be"),
        ("compile RUN --threads 1025", "`threads`=1025 must be a number from 1 to 1,024"),
        ("bench RUN --batch -1", "`batch`=-1 must be a whole number"),
        ("compile RUN --batch 100000000000", "`batch`=100000000000 .* not fit into memory"),
        ("train --model mlp:784-10 --seed 99999999999999999999 --out RUN", "`seed`="),
        ("train --model mlp:784-10 --data folder:~nobody0/x --out RUN", "`name`='folder:~nobody0/"),
        ("train --model mlp:784-10 --data mnist --data-root ~nobody0 --out RUN", "`root`='~nobody"),
        ("preview --model resnet32 --image-size 100000000 --plan PLAN", "not fit into memory"),
        ("preview --model vgg-small --image-size 100000000 --plan PLAN", "cannot be built with 10"),
        ("preview --model mobilenet --channels 3 --classes 0 --plan PLAN", "`num_classes` is 0"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(
    run: Path, plan: str, command: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for measure in ("bench.benchmark", "compile.engine.compile", "observe.observe_channels"):
        monkeypatch.setattr(f"openwork.cli.{measure}", None)
    words = [word.replace("RUN", str(run)).replace("PLAN", plan) for word in command.split()]
    with pytest.raises(ow.errors.OpenworkError, match=message):
        CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize("name", ["a[bold]b", "a[/c]"])
def test_names_that_look_like_markup_are_printed_as_they_are(
    tmp_path: Path, images: str, name: str
) -> None:
    out = tmp_path / name
    result = CliRunner().invoke(app, _train(out, images, "--epochs", "1"), catch_exceptions=False)
    assert str(out / "model.safetensors") in result.stdout
    assert f"{out.name}  epoch 1/1" in result.stderr


def test_a_run_on_a_folder_of_images_is_judged_from_anywhere(
    tmp_path: Path, images: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = _train(Path("run"), "folder:images", "--epochs", "1")
    CliRunner().invoke(app, command, catch_exceptions=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = CliRunner().invoke(app, ["eval", "../run"], catch_exceptions=False)
    assert "4 test images" in result.stdout
    (tmp_path / "images").rename(tmp_path / "moved")
    command = _train(Path("../run"), "folder:../moved", "--epochs", "1", "--resume")
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As where a user types: what a shell starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize(("command", "hint"), [("train", "resume .* with --resume"), ("env", "")])
def test_ctrl_c_stops_with_a_line(
    tmp_path: Path, images: str, command: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ow.SparsityHistory, "__call__", interrupt)
    monkeypatch.setattr("openwork.cli.env.environment", interrupt)
    words = _train(tmp_path / "run", images, "--epochs", "2") if command == "train" else [command]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 130
    assert re.search(rf"^stopped.*{hint}$", result.stderr, re.MULTILINE)


def test_env_runs_on_its_own() -> None:
    result = _run("env")
    assert result.returncode == 0
    assert "kernels: reference" in result.stdout


def test_images_that_are_not_square_need_a_size(tmp_path: Path) -> None:
    for label in ("a", "b"):
        folder = tmp_path / "wide" / label
        folder.mkdir(parents=True)
        for index in range(2):
            Image.new("L", (20, 16)).save(folder / f"{index}.png")
    command = _train(tmp_path / "run", f"folder:{tmp_path / 'wide'}")
    with pytest.raises(ow.ArgumentError, match=r"16x20 pixels.*--image-size"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_bench_prints_tables_a_reason_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")
    model = ow.models.build("mnist_3conv", in_channels=1, image_size=8, depth_multiplier=0.25)
    ow.sparsify_(model, ow.Plan({"features.3": {"pattern": "random", "density": 0.5}}))
    ow.save(model, tmp_path / "model.safetensors")
    saved = tmp_path / "fast"
    command = ["bench", str(tmp_path), "--threads", "1", "--passes", "3", "--out", str(saved)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert isinstance(ow.load(saved), ow.CompiledModel)
    assert "as it is, compiled" in result.stdout
    assert "One call takes" in result.stdout
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_bench_times_a_training_step(tmp_path: Path) -> None:
    model = ow.models.build("mnist_3conv", in_channels=1, image_size=8, depth_multiplier=0.25)
    ow.sparsify_(model, ow.Plan({"features.3": {"pattern": "random", "density": 0.5}}))
    ow.save(model, tmp_path / "model.safetensors")
    command = ["bench", str(tmp_path), "--threads", "1", "--training", "--batch", "2"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "input's gradient" in result.stdout
    assert "'features.3 (forward)'" in result.stdout
    assert not (tmp_path / "bench.png").exists()


def test_compile_writes_a_network_that_loads(tmp_path: Path) -> None:
    pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")
    model = ow.models.build("mnist_3conv", in_channels=1, image_size=8, depth_multiplier=0.25)
    ow.save(model, tmp_path / "model.safetensors", metrics={"data": "mnist"})
    command = ["compile", str(tmp_path), "--threads", "1", "--optimize", "memory"]
    with pytest.raises(ow.ArgumentError, match="`precision`='half' must be one of"):
        CliRunner().invoke(app, [*command, "--precision", "half"], catch_exceptions=False)
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "compiled.safetensors" in result.stdout
    loaded = ow.load(tmp_path / "compiled.safetensors")
    image = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = model.eval()(image)
    torch.testing.assert_close(loaded(image), expected, rtol=1e-4, atol=1e-4)
    assert ow.info(tmp_path / "compiled.safetensors").metrics == {"data": "mnist"}
    command = ["compile", str(tmp_path / "compiled.safetensors")]
    assert "compiled network" in CliRunner().invoke(app, ["info", command[1]]).stdout
    with pytest.raises(ow.ArgumentError, match=r"`run`=.* cannot be compiled again"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    command = ["compile", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(ow.OpenworkError, match=r"`out`=.* is a folder; name a file in it"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_other_sizes_of_images_are_compiled_too(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    ow.export_onnx(network, torch.zeros(1, 3, 9, 9), tmp_path / "a.onnx")
    command = ["compile", str(tmp_path / "a.onnx"), "--out", str(tmp_path / "fast.ow")]
    result = CliRunner().invoke(app, [*command, "--sizes", "12x7"], catch_exceptions=False)
    assert result.exit_code == 0
    images = torch.randn(2, 3, 12, 7)
    with torch.no_grad():
        expected = network(images)
    torch.testing.assert_close(ow.load(tmp_path / "fast.ow")(images), expected)
    with pytest.raises(ow.ArgumentError, match="`sizes`='12' must be any, or heights and widths"):
        CliRunner().invoke(app, [*command, "--sizes", "12"], catch_exceptions=False)


def test_an_onnx_file_is_compiled_and_timed(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    ow.export_onnx(network, torch.zeros(1, 3, 9, 9), tmp_path / "a.onnx")
    done = CliRunner().invoke(
        app, ["compile", str(tmp_path / "a.onnx"), "--out", str(tmp_path / "fast.ow")]
    )
    assert done.exit_code == 0, done.output
    fast = ow.load(tmp_path / "fast.ow")
    assert fast(torch.zeros(2, 3, 9, 9)).shape == (2, 8, 7, 7)
    done = CliRunner().invoke(app, ["bench", str(tmp_path / "a.onnx"), "--passes", "3"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "bench.png").is_file()


def test_a_growing_network_goes_on_where_it_was(tmp_path: Path, images: str, plan: str) -> None:
    command = _train(tmp_path / "run", images, "--plan", plan, "--epochs", "2", "--seed", "1")
    result = CliRunner().invoke(app, [*command, "--grow", "start=0.2,every=2"])
    assert result.exit_code == 0
    grown = ow.load(tmp_path / "run" / "model.safetensors")
    assert part(grown, "features.3", ow.SparseConv2d).pattern.density > 0.35
    again = CliRunner().invoke(app, [*command, "--grow", "start=0.2,every=2", "--resume"])
    assert again.exit_code == 0
    other = CliRunner().invoke(app, [*command, "--grow", "start=0.2,every=3", "--resume"])
    assert "growth is" in str(other.exception)


def test_the_cache_is_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPENWORK_CACHE", str(folder))
    shown = CliRunner().invoke(app, ["cache", "--clear"])
    assert shown.exit_code == 0
    assert f"folder: {folder}\nkernel choices: 0, 0.0 MB\ndata sets: 0" in shown.output
    remember(remembered_path("kernels"), {"a": 1, "b": 2})
    remember(remembered_path("training"), {"c": 3})
    entry = folder / f"digits-{'0' * 16}"
    entry.mkdir()
    (entry / "meta.json").write_text("x" * 2_000_000)
    foreign = [folder / "mine.json", folder / f"kernels-{'0' * 15}.json", folder / "photos"]
    for path in foreign[:2]:
        path.write_text("{}")
    foreign[2].mkdir()
    shown = CliRunner().invoke(app, ["cache"])
    assert "kernel choices: 3, 0.0 MB\ndata sets: 1, 2.0 MB" in shown.output
    assert entry.exists()
    with locked_folder(folder, "cache"):
        refused = CliRunner().invoke(app, ["cache", "--clear"])
    assert isinstance(refused.exception, CheckpointError)
    assert entry.exists()
    shown = CliRunner().invoke(app, ["cache", "--clear"])
    assert shown.output.endswith("cleared\n")
    assert sorted(folder.iterdir()) == sorted(foreign)
