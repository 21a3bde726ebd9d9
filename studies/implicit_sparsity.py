"""Claim: with an L2 penalty Adam leaves most filters dead, with decoupled decay fewer, SGD fewest.

    python -m studies implicit_sparsity [--scale paper]

BasicNet is trained with several optimisers, penalty strengths and batch sizes. Measured are the
dead channels of its convolutions, by |gamma| < 1e-3 and by activations that never exceed 1e-12 on
the training images, and the test error. Beside it, the same scales are counted in four ResNets that
others trained with SGD.

Source: "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019): adaptive
optimisers with L2 leave more dead filters than SGD, L2 far more than decoupled decay for Adam and
about as many for SGD; stronger penalties and smaller batches leave more; none without a penalty. A
strength is the paper's lambda: L2 adds lambda * weight to the gradient, decay multiplies weights by
1 - lambda at the first rate and is scaled down with it. Recalled from notes on the paper, not
verified: batches of 40, 325 epochs with a tenth of the rate after 250, flips, rates, Adam's second
beta of 0.99. Our reading: what `openwork.models` builds as BasicNet, its initialisation, RMSProp
without momentum, what counts as equal and as none.

The second beta is decisive: with 0.999 and Adam's usual rate, L2 of 1e-3 left no dead filter in
6,000 steps; with 0.99 it left 14 %. The mean of squared gradients must fall as fast as the
gradients of the loss; only then does the penalty, divided by its root, take scales to zero at the
learning rate. The settings of the scale "cpu" (steps, adaptive rates three times the usual,
strengths) were chosen after trials with one seed; 1,500 steps at strength 1e-2 had shown another
order.
"""

from typing import Any

from _basicnet import build, images, watch
from _claims import Claim, Finding, at_least, at_most, equal
from _coarse import pretrained
from _grid import Desk, Row, Settings, Study, paired, values
from torch import nn

import openwork as ow
from openwork.train.recipe import DEFAULT_LR

ADAPTIVE = ("adam", "rmsprop", "adagrad")
DEPTHS = (20, 32, 44, 56)
# Scale -> seeds, strengths (weak, strong), and the sizes. `rate` is a factor on the rates of the
# adaptive optimisers: they need at least 1 / rate steps to move a scale from 1 to 0, and a short
# run has few steps.
SIZES: dict[str, tuple[int, tuple[float, float], Settings]] = {
    "smoke": (
        1,
        (3e-4, 1e-3),
        {
            "data": "mnist-subset",
            "train": 80,
            "test": 40,
            "width": 0.0625,
            "epochs": 1,
            "rate": 3.0,
            "flip": False,
        },
    ),
    "cpu": (
        3,
        (3e-4, 1e-3),
        {
            "data": "mnist-subset",
            "train": 4000,
            "test": 2000,
            "width": 0.125,
            "epochs": 80,
            "rate": 3.0,
            "flip": False,
        },
    ),
    "paper": (
        3,
        (1e-4, 1e-3),
        {
            "data": "cifar10",
            "train": None,
            "test": None,
            "width": 1.0,
            "epochs": 325,
            "rate": 1.0,
            "flip": True,
        },
    ),
}


def ways(weak: float, strong: float) -> list[Settings]:
    """Optimiser, strength, whether the penalty is decoupled decay instead of L2, batch size."""

    def way(name: str, strength: float, decoupled: bool = False, batch: int = 40) -> Settings:
        return {"optimizer": name, "strength": strength, "decoupled": decoupled, "batch": batch}

    return [
        *(way(name, strong) for name in ("adam", "sgd", "adagrad", "rmsprop")),
        *(way(name, strong, decoupled=True) for name in ("adam", "sgd")),
        way("adam", 0.0),
        *(way(name, weak) for name in ("adam", "sgd")),
        way("adam", weak, decoupled=True),
        *(way("adam", strong, batch=size) for size in (20, 120)),
    ]


def cells(scale: str) -> list[Settings]:
    seeds, strengths, sizes = SIZES[scale]
    found: list[Settings] = [
        {**way, **sizes, "seed": seed} for seed in range(seeds) for way in ways(*strengths)
    ]
    if scale == "cpu":
        found += [{"trained by others": f"resnet{depth}", "seed": 0} for depth in DEPTHS]
    return found


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    if "trained by others" in settings:
        depth = int(settings["trained by others"].removeprefix("resnet"))
        return {"by_scale": dead_scales(pretrained(depth))}
    data = images(settings)
    model = build(data, settings["width"], settings["seed"])
    trained = desk.fit(model, data, recipe(settings))
    report = watch(model, data)
    return {
        "by_scale": report.dead_by_scale(),
        "by_activation": report.dead_by_activation(),
        "layers": [report.dead_by_activation([layer]) for layer in report.layers],
        **trained,
    }


def recipe(settings: Settings) -> ow.train.Recipe:
    sgd = settings["optimizer"] == "sgd"
    lr = DEFAULT_LR[settings["optimizer"]] * (1.0 if sgd else settings["rate"])
    strength, decoupled = settings["strength"], settings["decoupled"]
    return ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=settings["batch"],
        optimizer=settings["optimizer"],
        lr=lr,
        momentum=0.9 if sgd else 0.0,
        beta2=0.99,
        l2=0.0 if decoupled else strength,
        weight_decay=strength / lr if decoupled else 0.0,
        schedule="step",
        milestones=(250 / 325,),
        flip=settings["flip"],
        seed=settings["seed"],
    )


def dead_scales(model: nn.Module) -> float:
    """Share of all channels with a batch norm whose scale is below 1e-3."""
    scales = [m.weight.detach().abs() for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    return sum(int((s < 1e-3).sum()) for s in scales) / sum(s.numel() for s in scales)


def claims(rows: list[Row]) -> list[Claim]:
    ours = [row for row in rows if "optimizer" in row["settings"]]
    strengths = sorted({row["settings"]["strength"] for row in ours} - {0.0})
    weak, strong = (strengths[0], strengths[-1]) if strengths else (0.0, 0.0)

    def way(name: str, strength: float, decoupled: bool = False, batch: int = 40) -> Settings:
        return {"optimizer": name, "strength": strength, "decoupled": decoupled, "batch": batch}

    def more(one: Settings, other: Settings) -> Finding:
        return at_least([100 * gap for gap in paired(ours, "by_scale", one, other)], 0.0)

    dead = "dead filters by scale,"
    sgd = way("sgd", strong)
    twice = paired(ours, "by_scale", sgd, way("sgd", strong, True))
    none = values(ours, "by_scale", **way("adam", 0.0))
    others = [r["result"]["by_scale"] for r in rows if "trained by others" in r["settings"]]
    claimed = [
        (
            "Adam leaves more filters dead with L2 than with decoupled decay",
            f"{dead} L2 minus decay, strength {strength:g}",
            more(way("adam", strength), way("adam", strength, True)),
        )
        for strength in strengths
    ]
    claimed += [
        (
            "Adaptive optimisers with L2 leave more filters dead than SGD",
            f"{dead} {name} minus sgd, strength {strong:g}",
            more(way(name, strong), sgd),
        )
        for name in ADAPTIVE
    ]
    claimed += [
        (
            "With SGD L2 and decay leave about equally many (2 points count as equal)",
            f"{dead} L2 minus decay, strength {strong:g}",
            equal([100 * gap for gap in twice], 2.0),
        ),
        (
            "A stronger penalty leaves more",
            f"{dead} Adam with L2, strength {strong:g} minus {weak:g}",
            more(way("adam", strong), way("adam", weak)),
        ),
    ]
    claimed += [
        (
            "Smaller batches leave more",
            f"{dead} Adam with L2, batches of {small} minus {large}, equal epochs",
            more(way("adam", strong, batch=small), way("adam", strong, batch=large)),
        )
        for small, large in ((20, 40), (40, 120))
    ]
    claimed += [
        (
            "Without a penalty there are none (0.5 % count as none)",
            f"{dead} Adam",
            at_most([100 * share for share in none], 0.5),
        ),
        (
            "SGD leaves few in networks trained by others (5 % count as few; our question)",
            "scales below 1e-3 in ResNets of 20, 32, 44 and 56 layers on CIFAR-10",
            at_most([100 * share for share in others], 5.0),
        ),
    ]
    return [Claim(*claim, "%" if "minus" not in claim[1] else "points") for claim in claimed]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (strength, dead shares) by measure and optimiser."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    ours = [row for row in rows if "optimizer" in row["settings"]]
    keys = ("optimizer", "strength", "decoupled", "batch")
    for measure in ("by_scale", "by_activation"):
        for chosen in dict.fromkeys(tuple(r["settings"][key] for key in keys) for r in ours):
            where = dict(zip(keys, chosen, strict=True))
            found = [100 * value for value in values(ours, measure, **where)]
            name = f"{where['optimizer']} {'decay' if where['decoupled'] else 'L2'}"
            name += "" if where["batch"] == 40 else f" batch {where['batch']}"
            curve = curves.setdefault(f"{measure.replace('_', ' ')}, {name}", [])
            curve.append((1000 * where["strength"], found))
    for name, curve in curves.items():
        curves[name] = sorted(curve)
    return "strength, thousandths", "dead filters, %", curves


STUDY = Study(
    "implicit_sparsity",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "BasicNet: an eighth of the width, 4,000 digits of 16x16 pixels, 80 epochs, three "
        "times the usual rates",
        "paper": "",
    },
)
