"""`OnnxRuntime`: an ONNX model as a module, so that `verify` compares it like any network."""

from typing import Any

import torch
from torch import nn

from openwork._nested import flatten
from openwork.interchange.packages import package

__all__ = ["OnnxRuntime"]


class OnnxRuntime(nn.Module):
    """Runs a serialised ONNX model on the CPU; gives tensors in the model's order.

    Args:
        model: the bytes of the model.
        as_written: one operator after the other, as the file has them; default False. Else ONNX
            Runtime joins them, and its joined kernels of int8 add two products in 16 bits, which
            saturate, on CPUs without VNNI.
    """

    def __init__(self, model: bytes, *, as_written: bool = False) -> None:
        super().__init__()
        runtime: Any = package("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Warnings about constants that it folds; errors are raised.
        options.log_severity_level = 3
        if as_written:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        # Nested as the original's; the model has them side by side, without numbers and texts.
        tensors = [each for each in flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        found = self._session.run(None, dict(zip(self._names, arrays, strict=True)))
        return tuple(torch.from_numpy(array) for array in found)
