"""The networks of the papers, built by name: `build("vgg16-cifar")`.

Every model is made of plain `torch.nn` layers, is initialised from torch's global random
generator, and remembers how to be built again (`source_of`).
"""

from openwork.models.normalisation import normalisation_of
from openwork.models.own import from_file
from openwork.models.registry import build, describe, names
from openwork.models.source import ModelSource, source_of

__all__ = [
    "ModelSource",
    "build",
    "describe",
    "from_file",
    "names",
    "normalisation_of",
    "source_of",
]
