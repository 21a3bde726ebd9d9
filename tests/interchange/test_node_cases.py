"""The tests that ONNX has for its operators, of all operators that openwork reads.

activations, arithmetic, layers, movement, norms, pools, reductions, resize, shapes, windows, and
the table of them.
"""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import openwork as ow
from openwork.interchange.handle.table import HANDLERS
from openwork.interchange.tensors import DTYPES

# How many cases hold at least.
LEAST = 840
_BFLOAT16 = onnx.TensorProto.BFLOAT16


def _is_read(case: Any) -> bool:
    """Whether openwork reads all operators of a case, its opset and its types."""
    graph = case.model.graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    given = [each for inputs, outputs in case.data_sets for each in (*inputs, *outputs)]
    if any(isinstance(each, onnx.TensorProto) for each in given):
        return False  # Numbers that NumPy has no type for.
    operators = {node.op_type for node in graph.node}
    known = operators <= set(HANDLERS) and types <= set(DTYPES) - {_BFLOAT16}
    return known and max(each.version for each in case.model.opset_import) >= 11


def _holds(model: Any, case: Any, inputs: int | None = None) -> bool:
    """Whether the results are those that ONNX expects, within the tolerance of the case."""
    network = ow.from_onnx(model.SerializeToString())
    for given, expected in case.data_sets:
        with torch.no_grad():
            found = network(*[torch.from_numpy(np.array(each)) for each in given[:inputs]])
        found = found if isinstance(found, tuple) else (found,)
        for one, two in zip(found, expected, strict=True):
            if (one.numpy().dtype, one.shape) != (two.dtype, two.shape):
                return False
            if not np.allclose(one.numpy(), two, case.rtol, case.atol, equal_nan=True):
                return False
    return True


def _with_weights(case: Any) -> Any:
    """The model of a case with all inputs but the first as weights, as a file has them."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = [each.name for each in model.graph.input]
    del model.graph.input[1:]
    given = case.data_sets[0][0]
    for name, array in list(zip(names, given, strict=False))[1:]:
        model.graph.initializer.append(numpy_helper.from_array(np.array(array), name))
    return model


def _passes(case: Any) -> bool:
    try:
        return _holds(case.model, case)
    except (ow.CheckpointError, TypeError):
        # Axes, sizes and weights as inputs: known to ONNX's tests only.
        try:
            return len(case.model.graph.input) > 1 and _holds(_with_weights(case), case, 1)
        except (ow.CheckpointError, TypeError):
            return False


@pytest.mark.slow
def test_cases_of_onnx() -> None:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        # Numbers of other types overflow on purpose.
        warnings.simplefilter("ignore", RuntimeWarning)
        every = collect_testcases()
    cases = [case for case in every if _is_read(case)]
    passed = [case.name for case in cases if _passes(case)]
    assert len(passed) >= LEAST, f"{len(passed)} of {len(cases)}"
