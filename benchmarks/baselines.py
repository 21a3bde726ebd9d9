"""Dense baselines for whole networks: ONNX Runtime, torch, and others if installed."""

import importlib.util
import io
import warnings
from collections.abc import Callable

import torch
from torch import nn

Call = Callable[[], object]


def onnx_bytes(model: nn.Module, example: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (example,), buffer, dynamo=False)  # type: ignore[arg-type]
    return buffer.getvalue()


def onnxruntime_call(graph: bytes, example: torch.Tensor, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: example.numpy()}
    return lambda: session.run(None, feed)


def openvino_call(graph: bytes, example: torch.Tensor, threads: int, precision: str | None) -> Call:
    import openvino  # type: ignore[import-not-found]

    core = openvino.Core()
    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": threads}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    request = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", settings)
    array = example.numpy()
    return lambda: request(array)


def torch_compile_call(model: nn.Module, example: torch.Tensor) -> Call:
    """torch.compile; its first call compiles C++ and fails without a compiler."""
    compiled = torch.compile(model)
    compiled(example)
    return lambda: compiled(example)


def contenders(
    dense: nn.Module, example: torch.Tensor, threads: int, torch_compile: bool
) -> dict[str, Call]:
    """A call for each baseline that can run, by name; prints why the others cannot."""
    graph = onnx_bytes(dense, example)
    calls: dict[str, Call] = {
        "onnxruntime": onnxruntime_call(graph, example, threads),
        "torch": lambda: dense(example),
    }
    if torch_compile:
        try:
            calls["torch.compile"] = torch_compile_call(dense, example)
        except Exception as error:
            # torch.compile raises many kinds of errors; the others can be measured without it.
            print(f"torch.compile left out: {type(error).__name__}: {str(error).splitlines()[0]}")
    if importlib.util.find_spec("openvino"):
        calls["openvino f32"] = openvino_call(graph, example, threads, "f32")
        calls["openvino"] = openvino_call(graph, example, threads, None)
    else:
        print("OpenVINO left out: pip install openwork[openvino]")
    return calls
