"""`evaluate`: loss and accuracy of a model on a split."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from openwork._arguments import check_choice, check_model
from openwork._mode import evaluation
from openwork.data import Batches, DataSet
from openwork.data.fits import check_logits, outputs_of


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy of a model on a split.

    Attributes:
        loss: mean cross entropy per sample, in nats.
        accuracy: share of correctly classified samples, in [0, 1].
        count: number of samples.
    """

    loss: float
    accuracy: float
    count: int


def evaluate(
    model: nn.Module,
    data: DataSet,
    *,
    split: str = "test",
    batch_size: int | None = None,
    device: torch.device | str | None = None,
) -> Evaluation:
    """Cross entropy and accuracy of `model` in evaluation mode; the modes of layers are restored.

    Args:
        model: images `(N, C, H, W)` -> logits `(N, classes)`; may be compiled.
        data: the data set; its images are normalised with its `mean` and `std`.
        split: "test" (default) or "train".
        batch_size: images at a time. Default: as in `Batches.in_order`.
        device: device of the batches, default the device of the model's parameters.

    Raises:
        ArgumentError: an unknown `split`, a `batch_size` below 1, or a model that does not fit
            `data`, such as one without an output for each label.
    """
    check_model(model)
    check_choice("split", split, ("test", "train"))
    if device is None:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
    chosen = data.train if split == "train" else data.test
    batches = Batches.in_order(chosen, data.mean, data.std, batch_size=batch_size, device=device)
    sums = evaluate_batches(model, batches)
    loss, correct, count = sums.tolist()
    return Evaluation(loss / count, correct / count, int(count))


@torch.no_grad()
def evaluate_batches(model: nn.Module, batches: Batches) -> torch.Tensor:
    """Sums over this rank's samples (3,), float64 on the CPU: loss, correct samples, samples."""
    sums = torch.zeros(3, dtype=torch.float64)
    with evaluation(model):
        for images, labels, _ in batches.epoch(0):
            if len(labels) == 0:
                continue
            logits = outputs_of(model, images)
            check_logits(logits, batches)
            logits = logits.float()
            loss = F.cross_entropy(logits, labels, reduction="sum")
            correct = (logits.argmax(1) == labels).sum()
            sums += torch.stack([loss, correct, loss.new_tensor(len(labels))]).double().cpu()
    return sums
