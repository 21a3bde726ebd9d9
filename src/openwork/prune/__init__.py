"""What can be removed from a trained network? Searched masks, criteria and schedules give plans."""

from openwork.prune.at_init import at_init as at_init
from openwork.prune.by_criterion import by_criterion as by_criterion
from openwork.prune.held_out import error_on as error_on
from openwork.prune.held_out import hold_out as hold_out
from openwork.prune.recalibrate import recalibrate_ as recalibrate_
from openwork.prune.search.log import Score as Score
from openwork.prune.search.log import read_log as read_log
from openwork.prune.search.search import search as search
from openwork.prune.sensitivity import sensitivity as sensitivity
from openwork.prune.sensitivity_result import LayerSensitivity as LayerSensitivity
from openwork.prune.sensitivity_result import Sensitivity as Sensitivity
from openwork.prune.stages.apply import apply_ as apply_
from openwork.prune.stages.in_stages import in_stages_ as in_stages_
from openwork.prune.stages.largest_ratio import LargestRatio as LargestRatio
from openwork.prune.stages.largest_ratio import largest_ratio as largest_ratio
from openwork.prune.stages.schedules import gradual as gradual
from openwork.prune.stages.schedules import in_steps as in_steps
from openwork.prune.stages.schedules import iterative as iterative
from openwork.prune.stages.schedules import one_shot as one_shot
from openwork.prune.stages.stage import Stage as Stage
from openwork.prune.stages.stage import StageResult as StageResult

__all__ = [
    "LargestRatio",
    "LayerSensitivity",
    "Score",
    "Sensitivity",
    "Stage",
    "StageResult",
    "apply_",
    "at_init",
    "by_criterion",
    "error_on",
    "gradual",
    "hold_out",
    "in_stages_",
    "in_steps",
    "iterative",
    "largest_ratio",
    "one_shot",
    "read_log",
    "recalibrate_",
    "search",
    "sensitivity",
]
