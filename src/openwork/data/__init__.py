"""Image data: named data sets, a folder of your own images, and batches to train and test on.

data = load("cifar10")
batches = Batches(data.train, 128, data.mean, data.std, shuffle=True, seed=0)
for images, labels, global_count in batches.epoch(0): ...
"""

import importlib
import typing

from openwork.data.load import load
from openwork.data.morse import Morse
from openwork.data.sources import Source, names
from openwork.data.split import DataSet, Split

if typing.TYPE_CHECKING:
    from openwork.data.augment import Augment, AugmentParameters
    from openwork.data.batches import Batch, Batches
    from openwork.data.fits import check_fits

__all__ = [
    "Augment",
    "AugmentParameters",
    "Batch",
    "Batches",
    "DataSet",
    "Morse",
    "Source",
    "Split",
    "check_fits",
    "load",
    "names",
]

# Imported when first used: decoding a data set needs no torch, whose import takes 200 MB.
_HOMES = {
    "Augment": "openwork.data.augment",
    "AugmentParameters": "openwork.data.augment",
    "Batch": "openwork.data.batches",
    "Batches": "openwork.data.batches",
    "check_fits": "openwork.data.fits",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'openwork.data' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(_HOMES[name]), name)
    return value
