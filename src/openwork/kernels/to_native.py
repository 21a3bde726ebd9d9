"""Geometry and activation of a layer, as the extension takes them."""

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation, Geometry

__all__ = ["geometry_refusal", "native_activation"]


def native_geometry(geometry: Geometry) -> "_C.Geometry":
    """Raises ValueError for sizes that no kernel takes."""
    return _C.Geometry(
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        height=geometry.size[0],
        width=geometry.size[1],
        kernel_y=geometry.kernel[0],
        kernel_x=geometry.kernel[1],
        stride_y=geometry.stride[0],
        stride_x=geometry.stride[1],
        pad_y=geometry.padding[0],
        pad_x=geometry.padding[1],
        dilation_y=geometry.dilation[0],
        dilation_x=geometry.dilation[1],
        out_height=geometry.out_size[0],
        out_width=geometry.out_size[1],
    )


def geometry_refusal(geometry: Geometry) -> str | None:
    """Why no kernel takes `geometry`, or None if its sizes are within bounds."""
    try:
        native_geometry(geometry)
    except ValueError as error:
        return str(error)
    return None


def native_activation(name: Activation) -> "_C.Activation":
    """The extension's activation of that name."""
    return _C.Activation[name]
