"""`InputForm`: what an ONNX file states of an input."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class InputForm:
    """What a file states of an input.

    Attributes:
        name: in the file.
        shape: an axis of any size is None; None if the number of axes is not stated.
        dtype: of the tensor.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: torch.dtype
