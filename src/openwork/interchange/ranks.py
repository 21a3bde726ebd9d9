"""`ranks`: how many axes each value of a model has, as onnx itself infers it."""

from typing import Any

from openwork.interchange.packages import package

# Larger tensors hold weights, whose numbers say nothing about shapes.
_MOST_BYTES = 1024


def ranks(proto: Any) -> dict[str, int]:
    """Name of a value -> its number of axes; a value that onnx knows nothing about is left out.

    Args:
        proto: a model; a copy without its weights is analysed.
    """
    onnx = package("onnx")
    light = onnx.ModelProto()
    light.ir_version = proto.ir_version
    light.opset_import.extend(proto.opset_import)
    light.graph.name = "graph"
    light.graph.input.extend(proto.graph.input)
    for each in proto.graph.output:
        light.graph.output.add().CopyFrom(each)
    for each in proto.graph.node:
        if not any(a.HasField("t") and _is_large(a.t) for a in each.attribute):
            light.graph.node.append(each)
    names = {each.name for each in light.graph.input}
    for each in (*proto.graph.initializer, *_held(proto.graph.node)):
        if not _is_large(each):
            light.graph.initializer.append(each)
        elif each.name not in names:
            value = onnx.helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
            light.graph.input.append(value)
    try:
        found = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except Exception:
        # Its errors are of many kinds; what it does not know stays unknown.
        return {}
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*found.value_info, *found.output)
        if value.type.tensor_type.HasField("shape")
    }


def _held(nodes: Any) -> Any:
    """Large constants in nodes, under the names of what the nodes give."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t") and _is_large(attribute.t) and node.op_type == "Constant":
                light = type(attribute.t)()
                light.name = node.output[0]
                light.data_type = attribute.t.data_type
                light.dims.extend(attribute.t.dims)
                light.raw_data = b"0" * (_MOST_BYTES + 1)
                yield light


def _is_large(tensor: Any) -> bool:
    return (
        len(tensor.raw_data) > _MOST_BYTES
        or tensor.data_location == 1
        or (len(tensor.float_data) * 4 > _MOST_BYTES)
    )
