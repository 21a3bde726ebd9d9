"""Networks that other programs read and write: ONNX files, out and in."""

from openwork.interchange.export_onnx import export_onnx as export_onnx
from openwork.interchange.from_onnx import from_onnx as from_onnx

__all__ = ["export_onnx", "from_onnx"]
