"""Inputs to compare over: batches made of the example's images, and other sizes."""

import pytest
import torch

from openwork.verify import ANOTHER_SIZE, with_batch_size
from openwork.verify.inputs import varied_inputs

IMAGES = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 12, 20)


@pytest.mark.parametrize(("size", "order"), [(1, [2]), (2, [2, 1]), (4, [2, 1, 0, 2])])
def test_batches_repeat_the_images_of_the_example(size: int, order: list[int]) -> None:
    images, numbers = with_batch_size((IMAGES, torch.arange(3)), size)
    assert numbers.tolist() == order
    assert images[:, 0, 0, 0].tolist() == order
    assert images.shape == (size, 2, 12, 20)


def test_all_inputs_in_order() -> None:
    other = (torch.zeros(1, 2, 5, 5), torch.zeros(1, 7))
    found = list(varied_inputs((IMAGES, torch.zeros(3, 7)), [other]))
    assert [what for what, _ in found][:4] == ["given", "given", "random", "another batch size"]
    assert {what for what, _ in found[4:]} == {ANOTHER_SIZE}
    assert found[0][1][0] is IMAGES
    assert found[1][1] is other
    # Heights and widths that would be below one are left out.
    assert [tuple(inputs[0].shape) for _, inputs in found[2:]] == [
        *((3, 2, 12, 20), (4, 2, 12, 20), (3, 2, 44, 52), (3, 2, 12, 84)),
        *((2, 2, 6, 10), (2, 2, 24, 40), (2, 2, 36, 60)),
    ]
    assert all(inputs[1].shape == (len(inputs[0]), 7) for _, inputs in found)


def test_random_inputs_are_the_same_every_time() -> None:
    first, second = (list(varied_inputs((IMAGES,), ()))[1][1][0] for _ in range(2))
    assert torch.equal(first, second)


def test_vectors_have_no_other_size() -> None:
    found = list(varied_inputs((torch.zeros(2, 7),), ()))
    assert [what for what, _ in found] == ["given", "random", "another batch size"]
