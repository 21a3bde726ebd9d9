import numpy as np
import pytest
import torch

from openwork.data import Augment, Batches, Split
from openwork.data import batches as batches_module
from openwork.errors import ArgumentError

MEAN, STD = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
AUGMENT = Augment(flip=True, crop_padding=2)


def make(count=23, shape=(3, 5, 4)):
    """A split whose label is the row, so that a label says which image must come with it."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    images.setflags(write=False)
    return Split(images, np.arange(count, dtype=np.int64))


def batches(split, batch_size=8, *, shuffle=True, seed=5, **arguments):
    return Batches(split, batch_size, MEAN, STD, shuffle=shuffle, seed=seed, **arguments)


def order(loader, n):
    return torch.cat([batch.labels for batch in loader.epoch(n)]).tolist()


def test_images_are_normalised_and_go_with_their_labels():
    split = make()
    for batch in batches(split).epoch(0):
        raw = split.images[batch.labels.numpy()].astype(np.float64)
        wanted = (raw / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
        assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
        np.testing.assert_allclose(batch.images.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_an_epoch_sees_every_sample_once():
    loader = batches(make())
    assert [len(batch.labels) for batch in loader.epoch(0)] == [8, 8, 7]
    assert [batch.global_count for batch in loader.epoch(0)] == [8, 8, 7]
    assert len(loader) == 3
    assert sorted(order(loader, 0)) == list(range(23))


def test_without_shuffle_the_order_is_the_split():
    assert order(batches(make(), shuffle=False), 3) == list(range(23))


@pytest.mark.parametrize("world", [1, 3])
def test_in_order_gives_the_split_as_it_lies_in_batches_for_a_cpu(world):
    split = make(320)
    ranks = [Batches.in_order(split, MEAN, STD, rank=rank, world=world) for rank in range(world)]
    sizes = [batch.global_count for batch in ranks[0].epoch(0)]
    assert sizes == ([50] * 6 + [20] if world == 1 else [150, 150, 20])
    seen = [order(loader, 0) for loader in ranks]
    assert seen == [list(range(rank, 320, world)) for rank in range(world)]
    small = Batches.in_order(split, MEAN, STD, batch_size=200)
    assert [len(batch.labels) for batch in small.epoch(0)] == [200, 120]


def test_order_depends_on_seed_and_epoch_alone():
    split = make(50)
    first = order(batches(split, augment=AUGMENT), 4)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    loader = batches(split, 50)
    order(loader, 0)
    assert order(loader, 4) == first, "neither earlier epochs nor the batch size matter"
    assert torch.equal(torch.get_rng_state(), state), "the global state is not touched"
    orders = [order(batches(split, seed=seed), n) for seed in (5, 6) for n in (4, 5)]
    assert len({tuple(found) for found in orders}) == 4
    assert orders[0] == first


def test_the_order_is_pinned():
    """A checkpoint resumed by a later version must continue with the same order."""
    assert order(batches(make(8), seed=0), 0) == [1, 3, 4, 2, 6, 0, 5, 7]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world", [2, 3, 8])
def test_ranks_together_are_the_one_process_batch(shuffle, world):
    split = make(27)
    alone = list(batches(split, shuffle=shuffle, augment=AUGMENT).epoch(2))
    ranks = [
        list(batches(split, shuffle=shuffle, augment=AUGMENT, rank=r, world=world).epoch(2))
        for r in range(world)
    ]
    kept = 3 if shuffle and world == 8 else 4
    assert [len(found) for found in ranks] == [kept] * world
    for step, whole in enumerate(alone[:kept]):
        for rank in range(world):
            part = ranks[rank][step]
            assert torch.equal(part.images, whole.images[rank::world])
            assert torch.equal(part.labels, whole.labels[rank::world])
            assert part.global_count == whole.global_count


def test_a_short_last_training_batch_is_dropped_on_all_ranks():
    split = make(18)  # 8 + 8 + 2 samples on 4 ranks
    loaders = [batches(split, rank=rank, world=4) for rank in range(4)]
    assert [len(loader) for loader in loaders] == [2] * 4
    assert [len(list(loader.epoch(0))) for loader in loaders] == [2] * 4


@pytest.mark.parametrize(
    ("count", "sizes"), [(16, [8, 8]), (17, [8, 8]), (18, [8, 8, 2]), (2, [2]), (1, [1])]
)
def test_a_single_sample_is_no_training_batch_unless_it_is_all_there_is(count, sizes):
    loader = batches(make(count))
    assert [len(batch.labels) for batch in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


def test_testing_drops_nothing_and_gives_idle_ranks_an_empty_batch():
    split = make(18)
    last = [list(batches(split, shuffle=False, rank=r, world=4).epoch(0))[-1] for r in range(4)]
    assert [batch.labels.tolist() for batch in last] == [[16], [17], [], []]
    assert [batch.global_count for batch in last] == [2] * 4
    assert last[3].images.shape == (0, 3, 5, 4)


def test_weighted_losses_add_up_to_the_mean():
    split = make(23)
    for world in (1, 3):
        total = torch.zeros(3)
        for rank in range(world):
            for step, batch in enumerate(batches(split, rank=rank, world=world).epoch(1)):
                total[step] += batch.labels.sum() / batch.global_count
        whole = [batch.labels.float().mean() for batch in batches(split).epoch(1)]
        torch.testing.assert_close(total, torch.stack(whole))


def test_augmentation_is_applied_anew_each_epoch():
    split = make(8)
    plain = next(batches(split, shuffle=False).epoch(0)).images
    loader = batches(split, shuffle=False, augment=AUGMENT)
    first, again, other = (next(loader.epoch(n)).images for n in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, plain)
    assert not torch.equal(first, other)


def test_padding_is_black():
    split = Split(np.full((6, 3, 4, 4), 255, np.uint8), np.zeros(6, np.int64))
    images = next(batches(split, augment=Augment(crop_padding=4)).epoch(0)).images
    black = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)])
    torch.testing.assert_close(images.amin((0, 2, 3)), black)


def test_read_only_memory_map(tmp_path):
    split = make()
    np.save(tmp_path / "images.npy", split.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = list(batches(Split(mapped, split.labels)).epoch(0))
    wanted = list(batches(split).epoch(0))
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.images, other.images)


def test_upload_copies_every_row(monkeypatch):
    monkeypatch.setattr(batches_module, "_UPLOAD_ROWS", 4)
    images = make().images
    uploaded = batches_module._upload(images, torch.device("cpu"))
    np.testing.assert_array_equal(uploaded.numpy(), images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("limit", [0, 2**31])
def test_cuda_gives_the_same_batches(monkeypatch, limit):
    monkeypatch.setattr(batches_module, "_RESIDENT_BYTES", limit)
    split = make()
    pairs = zip(
        batches(split, augment=AUGMENT).epoch(1),
        batches(split, augment=AUGMENT, device="cuda").epoch(1),
        strict=True,
    )
    for host, device in pairs:
        assert device.images.is_cuda
        assert torch.equal(device.labels.cpu(), host.labels)
        torch.testing.assert_close(device.images.cpu(), host.images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size`=0 must be a whole number of at least 1"),
        ({"batch_size": 2.0}, r"`batch_size`=2\.0"),
        ({"seed": 2**64}, r"`seed`=18446744073709551616 must be below 2\*\*64"),
        ({"seed": -1}, "`seed`=-1 must be a whole number of at least 0"),
        ({"world": 0}, "`world`=0"),
        ({"rank": -1}, "`rank`=-1"),
        ({"rank": 2, "world": 2}, "`rank`=2 must be below `world`=2"),
        ({"augment": Augment(crop_padding=6)}, "`crop_padding`=6 must be at most 5"),
        ({"batch_size": 3, "world": 4}, "`batch_size`=3 is the global batch .* `world`=4"),
        ({"batch_size": 64, "world": 32}, "`world`=32 ranks cannot share 23 training samples"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        batches(make(), **arguments)


def test_bad_statistics_and_epoch():
    with pytest.raises(ArgumentError, match=r"`mean`=\(0\.5,\) must be 3 numbers"):
        Batches(make(), 8, (0.5,), STD, shuffle=True, seed=0)
    with pytest.raises(ArgumentError, match=r"`std`=.* above 0"):
        Batches(make(), 8, MEAN, (0.1, 0.0, 0.1), shuffle=True, seed=0)
    with pytest.raises(ArgumentError, match="`n`=-1 must be a whole number of at least 0"):
        batches(make()).epoch(-1)


def test_labels_need_an_output_each() -> None:
    split = Split(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 4, 2]))
    batches = Batches(split, 2, (0.0,), (1.0,), shuffle=False, seed=0)
    batches.check_outputs(torch.zeros(2, 5))
    with pytest.raises(ArgumentError, match=r"holds the label 4, but `model` gives 4 outputs"):
        batches.check_outputs(torch.zeros(2, 4))
