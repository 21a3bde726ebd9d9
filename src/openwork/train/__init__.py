"""Training: one loop, a frozen recipe, and checkpoints that a killed run resumes from."""

from openwork.train.evaluate import Evaluation as Evaluation
from openwork.train.evaluate import evaluate as evaluate
from openwork.train.growth import GrowthSchedule as GrowthSchedule
from openwork.train.loop import fit as fit
from openwork.train.metrics import EpochMetrics as EpochMetrics
from openwork.train.recipe import Recipe as Recipe

__all__ = ["EpochMetrics", "Evaluation", "GrowthSchedule", "Recipe", "evaluate", "fit"]
