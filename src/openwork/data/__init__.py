"""Image data: named data sets, a folder of your own images, and batches to train and test on.

data = load("cifar10")
batches = Batches(data.train, 128, data.mean, data.std, shuffle=True, seed=0)
for images, labels, global_count in batches.epoch(0): ...
"""

from openwork.data.augment import Augment, AugmentParameters
from openwork.data.batches import Batch, Batches
from openwork.data.fits import check_fits
from openwork.data.load import load
from openwork.data.morse import Morse
from openwork.data.sources import Source, names
from openwork.data.split import DataSet, Split

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
