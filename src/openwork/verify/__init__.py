"""Is it still the same network? One comparison of outputs for every rewrite."""

from openwork.verify.compare import OutputDifference as OutputDifference
from openwork.verify.compare import compare as compare
from openwork.verify.compare import compare_many as compare_many
from openwork.verify.difference import difference as difference
from openwork.verify.difference import largest_difference as largest_difference
from openwork.verify.inputs import ANOTHER_SIZE as ANOTHER_SIZE
from openwork.verify.inputs import with_batch_size as with_batch_size
from openwork.verify.outputs import Inputs as Inputs
from openwork.verify.outputs import outputs as outputs
from openwork.verify.refusal import refusal as refusal
from openwork.verify.rounding import rounding as rounding
from openwork.verify.training import compare_training as compare_training

__all__ = [
    "ANOTHER_SIZE",
    "Inputs",
    "OutputDifference",
    "compare",
    "compare_many",
    "compare_training",
    "difference",
    "largest_difference",
    "outputs",
    "refusal",
    "rounding",
    "with_batch_size",
]
