"""What commands need of a run: its file, images of its size, and threads."""

from pathlib import Path

import pytest
import torch
from torch import nn

from openwork import io, models
from openwork.cli.build import Sizes
from openwork.cli.run import locate, model_path, random_images, sizes_for, use_threads
from openwork.errors import ArgumentError, CheckpointError


def test_a_folder_or_the_file_itself(tmp_path: Path) -> None:
    assert model_path(tmp_path) == tmp_path / "model.safetensors"
    assert model_path(tmp_path / "x.safetensors") == tmp_path / "x.safetensors"


def test_a_network_is_built_for_the_sizes_that_its_file_states(tmp_path: Path) -> None:
    asked = Sizes(classes=10, channels=3, side=32)
    io.save(models.build("mlp:32-10", in_channels=2, image_size=4), tmp_path / "m")
    place = locate(tmp_path / "m")
    assert sizes_for(place, asked) == Sizes(10, 2, 4)
    assert place.load(asked)(torch.zeros(3, 2, 4, 4)).shape == (3, 10)
    io.save(nn.Linear(1, 1), tmp_path / "own")
    with pytest.raises(ArgumentError, match="cannot build by name"):
        locate(tmp_path / "own").load(asked)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 1, 1), "`batch`=0"), ((1, 1, 10**9), "`batch`=1 images of 1x1000000000x.* not fit")],
)
def test_images_that_cannot_be_are_refused(sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        random_images(*sizes)


def test_threads_are_set_within_bounds() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(None)
        assert torch.get_num_threads() == before
        use_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for count in (0, 1025):
        with pytest.raises(ArgumentError, match=f"`threads`={count} must be"):
            use_threads(count)


def test_a_run_that_is_not_there_is_called_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="`run`='nothere' does not exist"):
        locate(Path("nothere"))
    with pytest.raises(CheckpointError, match=r"`run`=.* has no model.safetensors"):
        locate(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    with pytest.raises(CheckpointError, match=r"`run`=.*x.onnx' is an ONNX model"):
        locate(tmp_path / "x.onnx")
    for given in ((None, None, None), (None, "resnet32", None), (tmp_path, None, tmp_path)):
        with pytest.raises(ArgumentError, match=r"--model|random weights|give one of"):
            locate(*given)
