"""`openwork prune`, run as a person runs it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import openwork as ow
from openwork.cli.app import app


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained network for grey squares, dark and light."""
    draw = np.random.default_rng(0)
    for label, shade in (("dark", 20), ("light", 180)):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for index in range(15):
            pixels = shade + draw.integers(0, 60, (8, 8))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    command = ["train", "--model", "mnist_3conv", "--depth-multiplier", "0.25", "--epochs", "1"]
    command += ["--data", f"folder:{tmp_path / 'images'}", "--out", str(tmp_path / "a")]
    CliRunner().invoke(app, [*command, "--optimizer", "adam"], catch_exceptions=False)
    return tmp_path / "a"


def _prune(run: Path, *more: str) -> str:
    command = ["prune", str(run), "--out", str(run.parent / "b"), "--held-out", "0.5", *more]
    return CliRunner().invoke(app, command, catch_exceptions=False).stdout


def test_two_cuts_leave_a_run_that_other_commands_read(run: Path) -> None:
    cuts = ["--granularity", "feature_map", "--ratio", "0.5", "--then", "kernel", "--ratio", "0.5"]
    options = [*cuts, "--retrain", "1", "--candidates", "4"]
    first = _prune(run, *options)
    assert "test accuracy" in first
    out = run.parent / "b"
    model = ow.load(out / "model.safetensors")
    patterns = ow.Plan.of(model).layers.values()
    assert sum(p.live for p in patterns) < 0.3 * sum(p.taps.size for p in patterns)
    assert ow.Plan.from_yaml(out / "plan.yaml") == ow.Plan.of(model)
    assert {path.name for path in out.iterdir()} >= {
        "search-1.jsonl",
        "search-2.jsonl",
        "stage-1.safetensors",
        "stage-2.safetensors",
    }
    result = CliRunner().invoke(app, ["eval", str(out), "--device", "auto"], catch_exceptions=False)
    assert "6 test images" in result.stdout
    assert _prune(run, *options) == first


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_a_criterion_takes_the_place_of_the_search(run: Path, criterion: str) -> None:
    _prune(run, "--ratio", "0.5", "--criterion", criterion, "--retrain", "0")
    assert not list(run.parent.glob("b/search*"))
    model = ow.load(run.parent / "b" / "model.safetensors")
    assert {round(p.density, 2) for p in ow.Plan.of(model).layers.values()} == {0.5}


@pytest.mark.parametrize("fuse", [True, False])
def test_norms_are_fused_on_request(run: Path, fuse: bool, fused: list[nn.Module]) -> None:
    options = ["--ratio", "0.5", "--criterion", "l1", "--retrain", "1"]
    _prune(run, *options, *(["--fuse"] if fuse else []))
    assert len(fused) == fuse


def test_the_unpruned_network_teaches_on_request(run: Path) -> None:
    options = ["--ratio", "0.5", "--criterion", "l1", "--retrain", "1"]
    _prune(run, *options)
    alone = ow.load(run.parent / "b" / "model.safetensors").state_dict()
    with pytest.raises(ow.ArgumentError, match="teacher is not given there, True here"):
        _prune(run, *options, "--teacher")
    taught = ["--teacher", "--out", str(run.parent / "c")]
    first = _prune(run, *options, *taught)
    other = ow.load(run.parent / "c" / "model.safetensors").state_dict()
    # The same cut, and other weights.
    key = next(name for name in alone if name.endswith("gaps"))
    assert torch.equal(alone[key], other[key])
    weight = key.replace("gaps", "weight")
    assert not torch.equal(alone[weight], other[weight])
    assert _prune(run, *options, *taught) == first
    with pytest.raises(ow.ArgumentError, match="`teacher` needs epochs of retraining"):
        _prune(run, "--ratio", "0.5", "--retrain", "0", "--teacher")


def test_each_cut_needs_a_ratio(run: Path) -> None:
    with pytest.raises(ow.ArgumentError, match=r"once for each of the cuts kernel, block"):
        _prune(run, "--ratio", "0.5", "--then", "block")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--criterion", "random"], "criterion is 'l1' there, 'random' here"),
        (["--retrain", "1"], "retrain is 0 there, 1 here"),
        (["--layers", "conv:*"], r"layers is None there, \['conv:\*'\] here"),
        (["--seed", "1"], "seed is 0 there, 1 here"),
    ],
)
def test_other_options_are_no_old_result(run: Path, change: list[str], text: str) -> None:
    options = ["--ratio", "0.5", "--criterion", "l1", "--retrain", "0"]
    _prune(run, *options)
    with pytest.raises(ow.ArgumentError, match=f"holds another network.*{text}"):
        _prune(run, *options, *change)
    (run.parent / "b" / "model.safetensors").unlink()
    with pytest.raises(ow.CheckpointError, match=f"another run: {text}"):
        _prune(run, *options, *change)


def test_no_other_network_is_written_over(run: Path) -> None:
    options = ["--ratio", "0.5", "--criterion", "l1", "--retrain", "0"]
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(ow.ArgumentError, match="is the folder of `run`"):
        _prune(run, *options, "--out", str(run.parent / "x" / ".." / "a"))
    _prune(run, *options)
    pruned = (run.parent / "b" / "model.safetensors").read_bytes()
    with pytest.raises(ow.ArgumentError, match="holds another network"):
        _prune(run.parent / "b", *options, "--out", str(run))
    out = ["--out", str(run.parent / "b")]
    for command in (["prune", str(run), *options, "--seed", "1"], ["compact", str(run)]):
        with pytest.raises(ow.ArgumentError, match="holds another network"):
            CliRunner().invoke(app, [*command, *out], catch_exceptions=False)
    assert (run / "model.safetensors").read_bytes() == before
    assert (run.parent / "b" / "model.safetensors").read_bytes() == pruned


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--then", "kernle", "--ratio", "0.5"], "`granularity`='kernle'"),
        (["--then", "kernel", "--ratio", "0.9999"], "`ratio`=0.9999"),
        (["--retrain", "-1"], "`retrain`=-1"),
        (["--criterion", "foo"], "`criterion`='foo' must be one of 'search', 'l1'"),
        (["--held-out", "1"], "`held_out`=1.0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(
    run: Path, options: list[str], text: str
) -> None:
    with pytest.raises(ow.ArgumentError, match=text):
        _prune(run, "--ratio", "0.5", "--criterion", "l1", *options)
    assert not (run.parent / "b").exists()


def test_a_run_in_which_nothing_is_cut_ends_well(run: Path) -> None:
    out = run.parent / "c[/sparse]"
    options = ["--ratio", "0", "--criterion", "l1", "--retrain", "0", "--out", str(out)]
    first = _prune(run, *options)
    assert str(out) in first
    assert not (out / "plan.yaml").exists()
    assert ow.info(out / "model.safetensors").plan is None
    assert _prune(run, *options) == first


def test_too_few_held_out_images_for_a_search_are_refused(run: Path) -> None:
    with pytest.raises(ow.ArgumentError, match=r"on 12 images .* hold out at least 13"):
        _prune(run, "--ratio", "0.5", "--candidates", "13")
    assert not (run.parent / "b").exists()


def test_a_cluster_is_for_a_search(run: Path) -> None:
    with pytest.raises(ow.ArgumentError, match="`ray`='local'"):
        _prune(run, "--ratio", "0.5", "--criterion", "l1", "--ray", "local")
