"""`fit`: the training loop, on one device or many."""

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist
from torch import nn

from openwork._arguments import check_callable, check_finite_weights, check_model
from openwork._files import check_path
from openwork._machine import device_named
from openwork._mode import evaluation
from openwork._processes import join_processes
from openwork.data import Augment, Batches, DataSet
from openwork.errors import ArgumentError, OpenworkError
from openwork.nn import Plan
from openwork.train.average import WeightAverage
from openwork.train.evaluate import evaluate_batches
from openwork.train.fused_norms import fused_norms
from openwork.train.metrics import EpochMetrics, EventLog
from openwork.train.objective import Objective, check_teacher
from openwork.train.optimizers import make_optimizer
from openwork.train.progress import ProgressBar
from openwork.train.recipe import Recipe
from openwork.train.run_folder import EVENTS, RunFolder, identity_of, trained_on
from openwork.train.schedules import lr_factor
from openwork.train.sync_batchnorm import synced_batchnorm
from openwork.train.trainee import Trainee

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
}


def fit(
    model: nn.Module,
    data: DataSet,
    recipe: Recipe,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    plan: Plan | None = None,
    device: str = "auto",
    progress: bool = True,
    on_epoch: Callable[[nn.Module, int], object] | None = None,
    teacher: nn.Module | None = None,
    fuse: bool = False,
) -> list[EpochMetrics]:
    """Train `model` in place on `data` as `recipe` says.

    Under `torchrun` the processes share each batch and have the same weights after every step;
    `recipe.batch_size` is the batch over all processes, and torch's and timm's batch norms use all
    of it. A run that stops at any moment, for any reason, can be resumed from its last finished
    epoch.

    Args:
        model: images `(N, C, H, W)` -> logits `(N, classes)`. On return it is in evaluation mode,
            on the device it was trained on.
        data: the data set.
        recipe: how to train.
        out: folder for checkpoints, metrics and events; None (default) writes nothing.
        resume: resume the run in `out`, or start it if there is none yet, default False. The recipe
            may have more epochs than the run was started with, finished or not: its other settings
            must be equal, and from here on learning rate and warm-up are those of a run that long.
            So a cosine that had come down rises to where the longer one is at this epoch.
        plan: the plan that `model` was made sparse with, to be recorded in `out`.
        device: "auto" (default), "cpu" or "cuda".
        progress: show bars and a line per epoch on standard error, default True.
        on_epoch: called by the first process with `model` and the number of the epoch, from 1,
            after each epoch and before it is saved, so an epoch may repeat after a kill. It must
            not change the model. `openwork.observe.SparsityHistory` is an example. With
            `recipe.ema` it gets the average.
        teacher: a trained network `(N, C, H, W)` -> `(N, classes)` whose outputs `model` learns to
            give too, such as the network before it was pruned; default None. It may be compiled.
            It is moved to the device and not changed. `train_loss` then contains its part.
        fuse: let batch norms compute the ReLUs and sums behind them while one process trains on a
            CPU, as `openwork.nn.fuse_norms_` does, default False; steps take less time, and results
            differ by rounding.

    Returns:
        One row per epoch, including those before a resumption.

    Raises:
        ArgumentError: `resume` without `out`, an unknown or unavailable `device`, or a `model` that
            has no parameter to train, holds NaN, does not fit `data`, or does not return a tensor;
            a `teacher` that does not fit `data` or shares weights with `model`.
        CheckpointError: `out` already holds a run or is in use by one, or the run to resume has
            another model, data set, recipe, plan or teacher.
        VerificationError: with `fuse`, the outputs of `model` would change.
        OpenworkError: `out` cannot be written to, or the loss became NaN or infinite.
    """
    _check(model, out, resume, on_epoch)
    if teacher is not None:
        check_teacher(teacher, model, data)
    join_processes()
    fabric = _fabric(recipe, device)
    fabric.launch()
    if teacher is not None:
        teacher.to(fabric.device)
    optimizer = make_optimizer(model.parameters(), recipe)
    average = WeightAverage(model, recipe.ema) if recipe.ema else None
    folder = None
    history: list[EpochMetrics] = []
    title = type(model).__name__ if out is None else Path(out).name
    with contextlib.ExitStack() as stack:
        if out is not None:
            identity = identity_of(model, data, recipe, teacher)
            folder = RunFolder(Path(out), identity, plan, trained_on(data))
            if fabric.is_global_zero:
                stack.enter_context(folder.held())
            history = _begin(folder, fabric, model, optimizer, average, resume)
        batches = _batches(data, recipe, fabric)
        stack.enter_context(synced_batchnorm(model, fabric.world_size))
        stack.enter_context(_fused(model, batches[1], fabric, fuse))
        events = None
        if folder is not None and fabric.is_global_zero:
            log = EventLog(folder.path / EVENTS, history)
            events = stack.enter_context(contextlib.closing(log))
        shown = progress and fabric.is_global_zero
        bar = ProgressBar(title, recipe.epochs, len(batches[0]), len(history), shown)
        stack.enter_context(bar)
        stack.enter_context(evaluation(*([] if teacher is None else [teacher])))
        trainee = Trainee(fabric, model, optimizer, average, recipe)
        objective = Objective(recipe, teacher)
        for epoch in range(len(history), recipe.epochs):
            row = _epoch(fabric, trainee, objective, batches, recipe, epoch, bar)
            history.append(row)
            if on_epoch is not None and fabric.is_global_zero:
                on_epoch(trainee.result, row.epoch)
            if folder is not None and events is not None:
                folder.finish_epoch(model, optimizer, history, average and average.model)
                events.add(row)
            bar.epoch(row)
        trainee.finish()
    model.eval()
    return history


def _check(
    model: nn.Module, out: str | os.PathLike[str] | None, resume: bool, on_epoch: object
) -> None:
    if resume and out is None:
        raise ArgumentError("`resume`=True needs `out`, the folder of the run to resume")
    check_model(model)
    check_finite_weights(model)
    if out is not None:
        check_path(out, "out")
    if on_epoch is not None:
        check_callable("on_epoch", on_epoch, "(model, epoch)")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ArgumentError(
            "`model` has no parameter to train; call requires_grad_(True) on some of them"
        )


def _begin(
    folder: RunFolder,
    fabric: "Fabric",
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    resume: bool,
) -> list[EpochMetrics]:
    """Start or resume the run in `folder`, and return its rows so far."""
    history: list[EpochMetrics] = []
    if resume and folder.has_state():
        averaged = None if average is None else average.model
        history = folder.resume(model, optimizer, averaged)
        if fabric.is_global_zero:
            folder.export(averaged or model, history)
    elif fabric.is_global_zero:
        folder.begin()
    fabric.barrier()
    return history


def _epoch(
    fabric: "Fabric",
    trainee: Trainee,
    objective: Objective,
    batches: tuple[Batches, Batches],
    recipe: Recipe,
    epoch: int,
    bar: ProgressBar,
) -> EpochMetrics:
    """Train for one epoch and test."""
    began = time.perf_counter()
    train, test = batches
    _seed(recipe.seed, epoch, fabric.global_rank)
    loss, accuracy = _means(
        fabric, _train_epoch(fabric, trainee, objective, train, recipe, epoch, bar)
    )
    # The unwrapped model, because the ranks of a wrapped one wait for each other in every call, and
    # the last batch may leave some without samples.
    with fabric.autocast():
        test_sums = evaluate_batches(trainee.result, test)
    test_loss, test_accuracy = _means(fabric, test_sums)
    # After the sums over ranks, so that all ranks stop; before anything is saved.
    if not math.isfinite(loss + test_loss):
        raise OpenworkError(
            f"the loss became NaN or infinite in epoch {epoch + 1}; lower `lr` "
            f"({recipe.peak_lr}) or add `warmup`"
        )
    return EpochMetrics(
        epoch=epoch + 1,
        lr=trainee.optimizer.param_groups[0]["lr"],
        train_loss=loss,
        train_accuracy=accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        seconds=time.perf_counter() - began,
    )


def _fused(
    model: nn.Module, batches: Batches, fabric: "Fabric", wanted: bool
) -> contextlib.AbstractContextManager[None]:
    if not wanted or fabric.world_size > 1 or fabric.device.type != "cpu":
        return contextlib.nullcontext()
    images, _, _ = next(iter(batches.epoch(0)))
    return fused_norms(model, images[:2])


def _fabric(recipe: Recipe, device: str) -> "Fabric":
    # Only here: with torch's compiler, which it brings, it takes longer to import than torch.
    from lightning_fabric import Fabric

    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Fabric(
        accelerator=device_named(device),
        devices=local,
        num_nodes=max(1, world // local),
        strategy="ddp" if world > 1 else "auto",
        precision=_PRECISION[recipe.precision],
    )


def _batches(data: DataSet, recipe: Recipe, fabric: "Fabric") -> tuple[Batches, Batches]:
    share = {"device": fabric.device, "rank": fabric.global_rank, "world": fabric.world_size}
    augment = None
    if recipe.flip or recipe.crop_padding:
        augment = Augment(flip=recipe.flip, crop_padding=recipe.crop_padding)
    train = Batches(
        data.train,
        recipe.batch_size,
        data.mean,
        data.std,
        shuffle=True,
        seed=recipe.seed,
        augment=augment,
        **share,
    )
    test = Batches.in_order(data.test, data.mean, data.std, **share)
    return train, test


def _train_epoch(
    fabric: "Fabric",
    trainee: Trainee,
    objective: Objective,
    batches: Batches,
    recipe: Recipe,
    epoch: int,
    bar: ProgressBar,
) -> torch.Tensor:
    """Train for one epoch; sums over this rank's samples (3,): loss, correct samples, samples."""
    trainee.model.train()
    sums = torch.zeros(3, dtype=torch.float64, device=fabric.device)
    for number, batch in enumerate(batches.epoch(epoch)):
        step = epoch * len(batches) + number
        trainee.begin_step(step)
        at = (epoch + number / len(batches)) / recipe.epochs
        for group in trainee.optimizer.param_groups:
            group["lr"] = recipe.peak_lr * lr_factor(
                recipe.schedule,
                at,
                warmup=recipe.warmup,
                milestones=recipe.milestones,
                drop=recipe.drop,
            )
        sums += trainee.learn(batch, objective, batches, step)
        bar.step()
    return sums


def _means(fabric: "Fabric", sums: torch.Tensor) -> tuple[float, float]:
    total = sums.to(fabric.device)
    if fabric.world_size > 1:
        dist.all_reduce(total)
    loss, correct, count = total.tolist()
    return loss / count, correct / count


def _seed(seed: int, epoch: int, rank: int) -> None:
    """Seed torch per epoch and rank, so that dropout draws the same in a resumed epoch."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little"))
