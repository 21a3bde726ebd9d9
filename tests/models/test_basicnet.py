"""basicnet against numbers worked out by hand."""

from torch import nn

from openwork.models import build

WIDTHS = [64, 128, 128, 256, 256, 512, 512]


def test_parameters() -> None:
    pairs = zip([3, *WIDTHS], WIDTHS, strict=False)
    convolutions = sum(9 * before * width + 2 * width for before, width in pairs)
    head = 512 * 2 * 2 * 256 + 2 * 256 + 256 * 10 + 10
    model = build("basicnet")
    assert sum(p.numel() for p in model.parameters()) == convolutions + head == 5_177_674


def test_the_recalled_widths_and_our_pools() -> None:
    features = build("basicnet").get_submodule("features")
    order = [
        layer.out_channels if isinstance(layer, nn.Conv2d) else "M"
        for layer in features.children()
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d)
    ]
    assert order == [64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M"]
    assert sum(width for width in order if isinstance(width, int)) == 1856
