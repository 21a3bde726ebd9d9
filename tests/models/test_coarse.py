"""cnn_small and cnn_large against numbers worked out by hand."""

from torch import nn

from openwork.models import build


def test_cnn_small_parameters() -> None:
    convolutions = 9 * (3 * 128 + 3 * 128 * 128 + 128 * 256 + 256 * 256)
    norms = 2 * (4 * 128 + 2 * 256)
    head = 256 * 8 * 8 * 256 + 2 * 256 + 256 * 10 + 10
    model = build("cnn_small")
    assert sum(p.numel() for p in model.parameters()) == convolutions + norms + head == 5_529_994


def test_cnn_large_parameters() -> None:
    convolutions = 9 * (3 * 128 + 128 * 128 + 128 * 256 + 3 * 256 * 256 + 256 * 512)
    norms = 2 * (2 * 128 + 4 * 256 + 512)
    head = 512 * 7 * 7 * 1024 + 1024 * 1024 + 2 * 2 * 1024 + 1024 * 10 + 10
    model = build("cnn_large", image_size=28)
    assert sum(p.numel() for p in model.parameters()) == convolutions + norms + head == 30_151_562


def test_the_pools_overlap_and_normed_layers_have_no_bias() -> None:
    model = build("cnn_small", depth_multiplier=0.1)
    pools = [layer for layer in model.modules() if isinstance(layer, nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [(3, 2), (3, 2)]
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.bias for layer in convolutions] == [None] * 6
    linears = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [layer.bias is None for layer in linears] == [True, False]
