"""`Objective`: what training minimises, with or without a teacher."""

import torch
import torch.nn.functional as F
from torch import nn

from openwork._arguments import check_model
from openwork.data import Batches, DataSet, check_fits
from openwork.data.fits import check_logits, outputs_of
from openwork.errors import ArgumentError
from openwork.train.recipe import Recipe


class Objective:
    """The loss of a batch: cross entropy, and how far the outputs are from a teacher's.

    With a teacher it is `(1 - w) * cross entropy + w * T**2 * KL(teacher || model)`, both softmaxes
    at temperature T: `recipe.teacher_weight` and `recipe.temperature`.

    Args:
        recipe: its label smoothing, temperature and weight of the teacher.
        teacher: images (N, C, H, W) -> logits (N, classes), or None. It is not trained.

    Source: "Distilling the Knowledge in a Neural Network" (2015).
    """

    def __init__(self, recipe: Recipe, teacher: nn.Module | None) -> None:
        self._recipe, self._teacher = recipe, teacher

    def __call__(
        self, logits: torch.Tensor, images: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """The loss, summed over the N images.

        Args:
            logits: (N, classes), what the network gives for the images.
            images: (N, C, H, W).
            labels: (N,).
        """
        recipe = self._recipe
        hard = F.cross_entropy(
            logits.float(), labels, reduction="sum", label_smoothing=recipe.label_smoothing
        )
        if self._teacher is None or not len(labels):
            return hard
        with torch.no_grad():
            taught = outputs_of(self._teacher, images)
        scale = recipe.temperature
        soft = F.kl_div(
            F.log_softmax(logits.float() / scale, 1),
            F.log_softmax(taught.float() / scale, 1),
            reduction="sum",
            log_target=True,
        )
        return torch.lerp(hard, soft * scale**2, recipe.teacher_weight)


def checked_logits(logits: object, batches: Batches) -> torch.Tensor:
    """What a network returned in training, which must be logits for `batches`.

    Raises:
        ArgumentError: it is not one tensor (N, classes), or it has fewer outputs than labels.
    """
    if not isinstance(logits, torch.Tensor):
        raise ArgumentError(
            f"`model` returns a {type(logits).__name__} in training; it must return one tensor "
            "of logits (N, classes): turn off auxiliary outputs, for example aux_logits=False"
        )
    check_logits(logits, batches)
    return logits


def check_teacher(teacher: nn.Module, model: nn.Module, data: DataSet) -> None:
    """Require that `teacher` is another network than `model` and fits `data`.

    Raises:
        ArgumentError: it is the same network or shares a weight with it, or does not fit.
    """
    check_model(teacher, "teacher")
    trained = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) in trained for parameter in teacher.parameters()):
        raise ArgumentError(
            "`teacher` shares weights with `model`, so it would change with it; pass a copy, such "
            "as copy.deepcopy(model)"
        )
    try:
        check_fits(teacher, data)
    except ArgumentError as error:
        raise ArgumentError(str(error).replace("`model`", "`teacher`", 1)) from error
