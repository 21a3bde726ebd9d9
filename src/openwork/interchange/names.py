"""Names for the modules of an imported network: those of the original where the file has them."""

import keyword
import re

_LONGEST = 120


def module_name(operator: str, node: str, weight: str = "") -> str:
    """A path for a module, such as "layer1.0.conv1".

    Args:
        operator: of the node, such as "Conv".
        node: its name, perhaps empty; torch writes "/layer1/layer1.0/conv1/Conv".
        weight: the name of its weight; torch writes "layer1.0.conv1.weight".

    >>> module_name("Conv", "/layer1/layer1.0/conv1/Conv", "onnx::Conv_193")
    'layer1.0.conv1'
    """
    path, _, last = weight.rpartition(".")
    if last in ("weight", "w_0") and _is_path(path):
        return path
    scopes = [scope for scope in node.split("/") if scope]
    if node.startswith("/") and len(scopes) > 1:
        path = ""
        for scope in scopes[:-1]:
            # Each scope that is in a list repeats what it is within.
            within = path.rpartition(".")[2]
            path = _joined(path, scope.removeprefix(f"{within}.") if within else scope)
        if _is_path(path):
            return path
    return identifier(node or operator)


def identifier(text: str) -> str:
    """`text` with anything but letters, digits and underscores replaced; never empty."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:_LONGEST] or "value"
    return f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _joined(path: str, scope: str) -> str:
    return f"{path}.{scope}" if path else scope


def _is_path(path: str) -> bool:
    """Whether it is a path of ordinary names and of numbers below others."""
    parts = path.split(".")
    return len(path) <= _LONGEST and all(
        re.fullmatch(r"[A-Za-z_]\w*|\d+", part, re.ASCII) and not keyword.iskeyword(part)
        for part in parts
    )
