"""Random keys: the same numbers on every machine, and in every version of numpy."""

import numpy as np

from openwork.patterns.keys import key_rows, layer_seed, shuffled, stream


def test_a_layers_seed_is_pinned_and_depends_on_seed_and_name() -> None:
    # The first eight bytes of the SHA-256 of "0/conv", little end first.
    assert layer_seed(0, "conv") == 0xD2B23A3303AB8A82
    assert len({layer_seed(s, n) for s in (0, 1) for n in ("a", "b")}) == 4


def test_a_shuffle_is_pinned_and_holds_every_number_once() -> None:
    drawn = shuffled(8, stream(3, "columns"))
    assert drawn.tolist() == [6, 0, 2, 7, 1, 4, 3, 5]
    assert sorted(drawn.tolist()) == list(range(8))


def test_streams_of_two_purposes_differ() -> None:
    assert (stream(0, "a").random_raw(4) != stream(0, "b").random_raw(4)).all()


def test_slices_of_keys_are_one_stream() -> None:
    columns = 1 << 19
    slices = list(key_rows(5, columns, stream(0, "x")))
    assert [(first, keys.shape) for first, keys in slices] == [
        (0, (2, columns)),
        (2, (2, columns)),
        (4, (1, columns)),
    ]
    whole = stream(0, "x").random_raw(5 * columns).reshape(5, columns)
    assert np.array_equal(np.concatenate([keys for _, keys in slices]), whole)
