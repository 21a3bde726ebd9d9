import numpy as np
import pytest
import torch

from openwork.data import Augment, AugmentParameters
from openwork.errors import ArgumentError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def naive(images, parameters, padding):
    """One image at a time: pad, cut out, mirror."""
    height, width = images.shape[2:]
    done = []
    for image, flip, dy, dx in zip(
        images.numpy(), parameters.flips, parameters.dy, parameters.dx, strict=True
    ):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        cut = padded[:, dy : dy + height, dx : dx + width]
        done.append(cut[:, :, ::-1] if flip else cut)
    return torch.from_numpy(np.stack(done))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(9, 3, 6, 4), (5, 1, 3, 7), (4, 2, 1, 1), (0, 3, 4, 4)])
@pytest.mark.parametrize(("flip", "padding"), [(True, 0), (False, 2), (True, 1), (True, 5)])
def test_equals_the_naive_loop(dtype, shape, flip, padding):
    images = torch.randint(1, 256, shape, generator=generator(1)).to(dtype)
    augment = Augment(flip=flip, crop_padding=padding)
    parameters = augment.draw(shape[0], generator(2))
    done = augment.apply(images, parameters)
    assert done.dtype == dtype
    if shape[0]:
        torch.testing.assert_close(done, naive(images, parameters, padding), rtol=0, atol=0)
    else:
        assert done.shape == shape


def test_nothing_to_do_gives_the_images_back():
    images = torch.zeros(3, 1, 2, 2)
    augment = Augment()
    assert augment.apply(images, augment.draw(3, generator())) is images


def test_draws_cover_their_range_evenly():
    parameters = Augment(flip=True, crop_padding=2).draw(5000, generator())
    assert parameters.flips.float().mean().item() == pytest.approx(0.5, abs=0.03)
    for corner in (parameters.dy, parameters.dx):
        counts = torch.bincount(corner, minlength=5)
        assert len(counts) == 5
        assert counts.min() > 850
    assert not torch.equal(parameters.dy, parameters.dx)


def test_without_flip_nothing_is_flipped():
    assert not Augment(crop_padding=1).draw(100, generator()).flips.any()


def test_draw_depends_on_the_generator_alone():
    augment = Augment(flip=True, crop_padding=4)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment.draw(50, generator(3))
    assert torch.equal(torch.get_rng_state(), state)
    again, other = augment.draw(50, generator(3)), augment.draw(50, generator(4))
    assert torch.equal(first.dy, again.dy)
    assert torch.equal(first.flips, again.flips)
    assert not torch.equal(first.dy, other.dy)


def test_a_rank_applies_its_slice_of_the_global_draw():
    images = torch.randint(0, 256, (11, 3, 5, 5), dtype=torch.uint8, generator=generator(1))
    augment = Augment(flip=True, crop_padding=2)
    parameters = augment.draw(11, generator(2))
    whole = augment.apply(images, parameters)
    for rank in range(3):
        part = parameters[rank::3]
        assert len(part) == len(range(rank, 11, 3))
        assert torch.equal(augment.apply(images[rank::3], part), whole[rank::3])


@pytest.mark.parametrize("padding", [-1, 1.5, True, "4"])
def test_bad_padding(padding):
    with pytest.raises(ArgumentError, match=r"`crop_padding`=.* 0 or more"):
        Augment(crop_padding=padding)


def test_bad_flip():
    with pytest.raises(ArgumentError, match="`flip`=1 must be True or False"):
        Augment(flip=1)  # type: ignore[arg-type]


def test_parameters_for_another_batch():
    augment = Augment(flip=True)
    parameters = augment.draw(3, generator())
    with pytest.raises(ArgumentError, match=r"`images` has shape \(2, 1, 2, 2\) .* 3 images"):
        augment.apply(torch.zeros(2, 1, 2, 2), parameters)
    with pytest.raises(ArgumentError, match=r"must be \(N, C, H, W\)"):
        augment.apply(torch.zeros(3, 2, 2), parameters)


def test_one_parameter_set_can_be_moved_and_indexed():
    parameters = AugmentParameters(
        torch.tensor([True, False]), torch.tensor([0, 1]), torch.tensor([2, 3])
    )
    turned = parameters.to("cpu")[torch.tensor([1, 0])]
    assert turned.flips.tolist() == [False, True]
    assert (turned.dy.tolist(), turned.dx.tolist()) == ([1, 0], [3, 2])
