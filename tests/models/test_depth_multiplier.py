"""The depth multiplier narrows every hidden layer of a built model, and nothing else."""

from openwork.models import build


def test_every_hidden_width_is_scaled_and_nothing_else() -> None:
    model = build("basicnet", num_classes=7, image_size=32, depth_multiplier=0.3)
    shapes = [tuple(p.shape) for n, p in model.named_parameters() if p.dim() > 1]
    widths = [20, 39, 39, 77, 77, 154, 154, 77, 7]
    assert [shape[0] for shape in shapes] == widths
    assert shapes[0][1] == 3
    assert [shape[1] for shape in shapes[1:7]] == widths[:6]
