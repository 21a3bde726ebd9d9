"""`advice`: what made channels die, and what would give more or fewer of them, in plain words.

Every statement about optimisers, decay and batch size is a finding of "On Implicit Filter Level
Sparsity in Convolutional Neural Networks" (2019).
"""

from collections.abc import Iterator

from torch.optim import SGD, AdamW, Optimizer

_SOME = 0.05


def advice(
    dead: float, early: float, late: float, optimizer: Optimizer | None, batch_size: int | None
) -> list[str]:
    """Sentences, each of which makes sense alone.

    Args:
        dead, early, late: share of dead channels in all layers, in the early and in the late half.
        optimizer, batch_size: with which the model was trained; None if unknown.
    """
    found = [_what(dead)]
    if dead > _SOME and max(early, late) > 2 * min(early, late):
        where = "late" if late > early else "early"
        found.append(f"Most of it is in the {where} layers: they are wider than this task needs.")
    found += _why(optimizer)
    if batch_size is not None:
        found.append(
            f"It was trained with batches of {batch_size}: smaller ones give more dead channels, "
            "larger ones fewer."
        )
    return found


def _what(dead: float) -> str:
    if dead > _SOME:
        return (
            f"{dead:.0%} of the channels are dead on these images. openwork.compact removes, "
            "without loss, those that are zero or constant for every input; with gamma_below= "
            "also those of small scales. It keeps channels that other images may excite."
        )
    return f"{dead:.1%} of the channels are dead on these images: there is little to remove."


def _why(optimizer: Optimizer | None) -> Iterator[str]:
    if optimizer is None:
        yield (
            "Adam and other adaptive optimisers with an L2 penalty give the most dead channels, "
            "SGD and decoupled weight decay (AdamW) fewer, no penalty hardly any."
        )
        return
    decay = max(group.get("weight_decay", 0.0) for group in optimizer.param_groups)
    name = type(optimizer).__name__
    if decay == 0:
        yield f"{name} ran without a penalty on weights, and without one hardly any channel dies."
    elif isinstance(optimizer, AdamW) or optimizer.param_groups[0].get("decoupled_weight_decay"):
        yield (
            f"{name} decays weights by itself, {decay:g} a step at a rate of 1; the same strength "
            "as an L2 penalty in Adam gives more dead channels."
        )
    elif isinstance(optimizer, SGD):
        yield (
            f"SGD with an L2 penalty of {decay:g} leaves few channels dead; Adam with one, even "
            "a weaker one, leaves many."
        )
    else:
        yield (
            f"{name} with an L2 penalty of {decay:g} is what makes channels die: a stronger "
            "penalty gives more dead channels, a weaker one or AdamW fewer."
        )
