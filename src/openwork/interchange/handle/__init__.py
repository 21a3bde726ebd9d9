"""Handlers: what each operator of ONNX becomes in torch."""
