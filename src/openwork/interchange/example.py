"""`example_of`: inputs for a network that was read from an ONNX file, as the file states them."""

import torch
from torch import nn

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.interchange.input_form import InputForm
from openwork.interchange.network import OnnxNetwork

__all__ = ["example_of"]


def example_of(
    network: nn.Module, batch: int | None = None, side: int | None = None
) -> tuple[torch.Tensor, ...] | None:
    """Random inputs `(batch, ...)`; None for a network that `from_onnx` did not make.

    Args:
        network: any module.
        batch: images per input; None (default) for what the file states, else 1.
        side: height and width of images of which the file does not state them.

    Raises:
        ArgumentError: the file leaves another size open.
    """
    if not isinstance(network, OnnxNetwork):
        return None
    if batch is not None:
        check_count("batch", batch)
    return tuple(_drawn(form, batch, side) for form in network.inputs)


def _drawn(form: InputForm, batch: int | None, side: int | None) -> torch.Tensor:
    shape = list(form.shape or ())
    if shape:
        shape[0] = batch or shape[0] or 1
    if len(shape) == 4:
        shape[2:] = [size or side for size in shape[2:]]
    if form.shape is None or None in shape:
        stated = form.shape and tuple("?" if size is None else size for size in form.shape)
        raise ArgumentError(
            f"the input {form.name!r} has the shape {stated} in the file, which leaves sizes open; "
            "pass an `example`"
        )
    if form.dtype.is_floating_point:
        return torch.randn(shape, dtype=form.dtype)  # type: ignore[arg-type]
    return torch.zeros(shape, dtype=form.dtype)  # type: ignore[arg-type]
