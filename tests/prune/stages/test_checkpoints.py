"""Networks between stages: which file is resumed from, and which is refused."""

from pathlib import Path

import pytest
import torch
from toy_search import toy_network

import openwork as ow
from openwork import prune
from openwork.prune import Stage, StageResult
from openwork.prune.stages.checkpoints import Checkpoints

RESULT = StageResult("kernel", 0.5, parameters=10, cut=0.5, recalibrated=None, retrained=0.25)
STAGES = (Stage("kernel", 0.5), Stage("kernel", 0.75))


def test_a_saved_stage_is_restored_with_its_result(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, toy_network(), {}, STAGES)
    assert checkpoints.result(0) is None
    model = toy_network()
    prune.apply_(model, prune.by_criterion(model, ratio=0.5, layers="2", progress=False))
    checkpoints.save(0, model, RESULT)
    assert checkpoints.result(0) == RESULT
    assert checkpoints.result(1) is None
    restored = checkpoints.restore_(0, toy_network())
    assert ow.Plan.of(restored) == ow.Plan.of(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor)


def test_files_are_numbered_from_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new", toy_network(), {})
    assert checkpoints.path(0) == tmp_path / "new" / "stage-1.safetensors"
    checkpoints.save(1, toy_network(), RESULT)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["stage-2.safetensors"]


def test_later_stages_may_differ_and_earlier_ones_may_not(tmp_path: Path) -> None:
    Checkpoints(tmp_path, toy_network(), {}, STAGES).save(0, toy_network(), RESULT)
    later = (STAGES[0], Stage("block", 0.25))
    assert Checkpoints(tmp_path, toy_network(), {}, later).result(0) == RESULT
    with pytest.raises(ow.CheckpointError, match="stage 1 differs: granularity is 'kernel' there"):
        Checkpoints(tmp_path, toy_network(), {}, later[1:]).result(0)


def test_another_identity_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, toy_network(), {"tolerance": 0.1}).save(0, toy_network(), RESULT)
    other = Checkpoints(tmp_path, toy_network(), {"tolerance": 0.2})
    with pytest.raises(ow.CheckpointError, match=r"tolerance is 0\.1 there, 0\.2 here"):
        other.result(0)


def test_a_file_that_pruning_did_not_write_is_refused(tmp_path: Path) -> None:
    ow.save(toy_network(), tmp_path / "stage-1.safetensors")
    with pytest.raises(ow.CheckpointError, match="no pruning wrote it"):
        Checkpoints(tmp_path, toy_network(), {}).result(0)


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    checkpoints = Checkpoints(tmp_path, toy_network(), {})
    checkpoints.save(0, toy_network(), RESULT)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept() -> None:
    checkpoints = Checkpoints(None, toy_network(), {})
    checkpoints.save(0, toy_network(), RESULT)
    assert checkpoints.path(0) is None
    assert checkpoints.result(0) is None
    with pytest.raises(ow.CheckpointError, match="stage 1 was not kept; give `out`"):
        checkpoints.restore_(0, toy_network())
