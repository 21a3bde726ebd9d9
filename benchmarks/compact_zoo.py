"""Do timm's and torchvision's CNNs compact, to the same outputs, and do dead channels go?

    python benchmarks/compact_zoo.py [--out compact_zoo.json] [--limit 20] [--only resnet] [--peers]

Each network has random weights and random batch-norm statistics. In half of its convolutions, drawn
at random, 40 % of the filters are killed: the weight, the bias and the scale of the batch norm
after them are zeroed. In the kind "zero" its shift is zeroed too; in the kind "constant" shifts are
random, so that the same channels are constants. The network is captured once for both kinds;
seconds include that capture. In grouped convolutions equal numbers are killed in each group, since
groups must stay equal. Then the network is compacted and compared with the original, at the image
size it was compacted at and at another.

A killed filter is dead if nothing live shares its channel: another term of the same sum, a gate, or
code that is not understood. It is removable if the channel counts also allow it: groups of a
convolution and halves of a split must stay equal, and one constant channel must remain to absorb
the others where zeros pad. `gone` counts the filters that were removed, next to the removable ones.
"rounding" is torch's own float32 error: its difference from float64.

With `--peers` (torch-pruning, torch-simplify) both also compact the same networks; Torch-Pruning is
told which filters are removable, torch-simplify looks for zeros itself.

Results are saved after each network, and a second run continues from them.
"""

import argparse
import copy
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from apart import apart, in_words
from record import keep_rows, kept_rows
from torch import nn
from zoo import TIMM, TRANSFORMERS

import openwork as ow
from openwork.capture import capture
from openwork.compact.rewrite import Rewrite, rewrite
from openwork.models.zoo import import_zoo
from openwork.verify import difference, rounding

KINDS = ("zero", "constant")


@dataclass
class Row:
    """The result for one network with one kind of dead channels.

    All fields but `peers` are for openwork; `peers` holds for each peer its error, or its
    differences at the same and at another size, the share of parameters left, and its time.
    """

    name: str
    kind: str
    error: str = ""
    killed: int = 0
    dead: int = 0
    removable: int = 0
    gone: int = 0
    same: float = float("nan")
    other: float = float("nan")
    rounding: float = 0.0
    parameters: float = float("nan")
    seconds: float = float("nan")
    peers: dict[str, Any] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """Whether outputs agree up to float32 rounding."""
        worst = max(self.same, 0 if np.isnan(self.other) else self.other)
        return not self.error and worst <= max(1e-4, 5 * self.rounding)


def main() -> None:
    parser = argparse.ArgumentParser(description="Do timm's and torchvision's CNNs compact?")
    parser.add_argument("--out", type=Path, default=Path("compact_zoo.json"), help="results")
    parser.add_argument("--limit", type=int, help="maximum number of networks")
    parser.add_argument("--only", default="", help="names, or parts of them, separated by commas")
    parser.add_argument("--image", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--peers", action="store_true", help="also run torch-pruning and simplify")
    parser.add_argument("--seconds", type=float, default=300, help="time limit per network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [Row(**row) for row in kept_rows(options.out)]
    done = {(row.name, row.kind) for row in rows}
    print(
        f"{'network':44} {'kind':8} {'error':>9} {'other':>9} {'gone':>11} {'params':>6} {'s':>5}"
    )
    parts = options.only.split(",")
    for name in [n for n in _names() if any(p in n for p in parts)][: options.limit]:
        if not all((name, kind) in done for kind in KINDS):
            rows = [row for row in rows if row.name != name]
            for row in _apart(name, options):
                rows.append(row)
                _print(row)
            keep_rows(options.out, rows)
    _totals(rows)


def _names() -> list[str]:
    timm, models = import_zoo("timm"), import_zoo("torchvision").models
    names = [f"timm:{name}" for name in TIMM.split() if timm.is_model(name)]
    classifiers = models.list_models(module=models)
    names += [f"torchvision:{name}" for name in classifiers if not name.startswith(TRANSFORMERS)]
    return names + [f"segmentation:{n}" for n in models.list_models(module=models.segmentation)]


def _apart(name: str, options: argparse.Namespace) -> list[Row]:
    return apart(
        partial(_examined, name, options.image, options.peers),
        lambda error: [Row(name, kind, error) for kind in KINDS],
        options.seconds,
    )


def _examined(name: str, image: int, peers: bool) -> list[Row]:
    rows = [Row(name, kind) for kind in KINDS]
    try:
        examine(rows, image, peers)
    except Exception as error:
        for row in rows:
            if np.isnan(row.parameters):
                row.error = in_words(error)
    return rows


def examine(rows: list[Row], image: int, peers: bool) -> None:
    """Fill in `rows`, one per kind."""
    torch.manual_seed(0)
    model, example = _build(rows[0].name, image)
    began = time.perf_counter()
    # The captured network shares the model's parameters, so it sees filters killed later.
    captured = capture(model, (example,))
    seconds = time.perf_counter() - began
    for row in rows:
        killed = kill(model, constant=row.kind == "constant")
        began = time.perf_counter()
        result = rewrite(model, (example,), (), 1, 1e-4, captured)
        row.seconds = seconds + time.perf_counter() - began
        removable = _those(result, killed, result.selection.removable)
        row.killed, row.removable = _count(killed), _count(removable)
        row.dead = _count(_those(result, killed, result.selection.dead))
        row.gone = _count(_those(result, killed, result.selection.gone))
        row.same, row.other, row.parameters = _compared(model, result.small, example)
        if max(row.same, row.other) > 1e-4:
            row.rounding = rounding(model, (example,))
        if peers:
            for peer, run in PEERS.items():
                row.peers[peer] = _of_peer(run, model, example, removable)


def _build(name: str, image: int) -> tuple[nn.Module, torch.Tensor]:
    """The network, and an image of the smallest of a few sizes that it accepts."""
    package, _, plain = name.partition(":")
    for side in (image, 96, 128, 224, 256):
        if package == "segmentation":
            get = import_zoo("torchvision").models.get_model
            model = get(plain, weights=None, weights_backbone=None, num_classes=5)
        else:
            model = ow.models.build(name, num_classes=10)
        _randomise(model.eval())
        example = torch.randn(1, 3, side, side)
        try:
            with torch.no_grad():
                model(example)
            return model, example
        except (RuntimeError, ValueError, AssertionError):
            if side == 256:
                raise
    raise ValueError(name)


def _randomise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, (low, high) in zip(
                (module.running_mean, module.running_var, module.weight, module.bias),
                ((-0.2, 0.2), (0.5, 1.5), (0.5, 1.5), (-0.2, 0.2)),
                strict=True,
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)


@torch.no_grad()
def kill(model: nn.Module, constant: bool, share: float = 0.4) -> dict[str, np.ndarray]:
    """Kill filters in half of the convolutions, and return them by qualified name of the layer."""
    draw = np.random.default_rng(0)
    killed = {}
    layers = list(model.named_modules())
    for index, (name, module) in enumerate(layers):
        if not isinstance(module, nn.Conv2d) or module.out_channels < 4 or draw.random() < 0.5:
            continue
        depthwise = module.groups == module.in_channels
        rows = np.arange(module.out_channels).reshape(1 if depthwise else module.groups, -1)
        count = int(share * rows.shape[1])
        filters = np.sort(np.concatenate([draw.permutation(row)[:count] for row in rows]))
        if not len(filters):
            continue
        killed[name] = filters
        module.weight[filters] = 0
        if module.bias is not None:
            module.bias[filters] = 0
        after = layers[index + 1][1] if index + 1 < len(layers) else None
        if isinstance(after, nn.BatchNorm2d) and after.num_features == module.out_channels:
            after.weight[filters] = 0
            after.bias[filters] = 0
            if constant:
                after.bias[filters] = 0.1 * torch.randn(len(filters))
    return killed


def _those(
    result: Rewrite, killed: dict[str, np.ndarray], atoms: np.ndarray
) -> dict[str, np.ndarray]:
    """The `killed` filters whose channel is among `atoms` (n,) bool."""
    weights = result.analysis.weights
    return {
        name: filters[atoms[weights[f"{name}.weight"].out[filters]]]
        for name, filters in killed.items()
        if f"{name}.weight" in weights
    }


def _count(filters: dict[str, np.ndarray]) -> int:
    return sum(map(len, filters.values()))


def _compared(
    model: nn.Module, small: nn.Module, example: torch.Tensor
) -> tuple[float, float, float]:
    """Relative differences at the example's size and at another, and the share of parameters."""
    differences = []
    for more in (0, 32):
        side = example.shape[-1] + more
        images = torch.randn(2, 3, side, side)
        differences.append(_difference(model, small, images))
    left = sum(p.numel() for p in small.parameters()) / sum(p.numel() for p in model.parameters())
    return differences[0], differences[1], left


@torch.no_grad()
def _difference(model: nn.Module, small: nn.Module, images: torch.Tensor) -> float:
    """The relative difference; NaN if the original refuses the images, infinite if `small` does."""
    try:
        expected = model(images)
    except (RuntimeError, AssertionError):
        return float("nan")
    try:
        outputs = small(images)
    except (RuntimeError, AssertionError):
        return float("inf")
    if isinstance(expected, dict):
        return max(difference(expected[key], outputs[key]) for key in expected)
    return difference(expected, outputs)


Peer = Callable[[nn.Module, torch.Tensor, dict[str, np.ndarray]], nn.Module]


def _of_peer(
    run: Peer, model: nn.Module, example: torch.Tensor, removable: dict[str, np.ndarray]
) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        small = run(copy.deepcopy(model), example, removable)
        seconds = time.perf_counter() - began
        same, other, parameters = _compared(model, small.eval(), example)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return {"same": same, "other": other, "parameters": parameters, "seconds": seconds}


def _torch_pruning(
    model: nn.Module, example: torch.Tensor, removable: dict[str, np.ndarray]
) -> nn.Module:
    """Torch-Pruning: each removable filter, through its dependency graph."""
    tp = importlib.import_module("torch_pruning")
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if name in removable and isinstance(layer, nn.Conv2d)
    }
    left = {layer: list(range(layer.out_channels)) for layer in layers.values()}
    for name, layer in layers.items():
        places = [left[layer].index(f) for f in removable[name].tolist() if f in left[layer]]
        if not places:
            continue
        prune = tp.prune_conv_out_channels
        if layer.groups == layer.out_channels > 1:
            prune = tp.prune_depthwise_conv_out_channels
        group = graph.get_pruning_group(layer, prune, idxs=places)
        if not graph.check_pruning_group(group):
            continue
        group.prune()
        for dependency, places in group:
            target = dependency.target.module
            if target in left and "out_channels" in dependency.handler.__name__:
                for place in sorted(set(places), reverse=True):
                    del left[target][place]
    return model


def _simplify(
    model: nn.Module, example: torch.Tensor, removable: dict[str, np.ndarray]
) -> nn.Module:
    """torch-simplify, called as in its documentation; it finds zeros itself."""
    return importlib.import_module("simplify").simplify(model, example)


PEERS: dict[str, Peer] = {"torch-pruning": _torch_pruning, "torch-simplify": _simplify}


def _print(row: Row) -> None:
    words = f"{row.name:44} {row.kind:8} "
    if row.error:
        words += row.error
    else:
        words += f"{row.same:9.1e} {row.other:9.1e} {row.gone:5}/{row.removable:5} "
        words += f"{row.parameters:6.3f} {row.seconds:5.1f}" + ("" if row.correct else " WRONG")
    for peer, result in row.peers.items():
        text = result.get("error") or "{same:.1e} {other:.1e} {parameters:.3f}".format(**result)
        words += f" | {peer} {text}"
    print(words, flush=True)


def _totals(rows: list[Row]) -> None:
    for kind in KINDS:
        of_kind = [row for row in rows if row.kind == kind]
        right = [row for row in of_kind if row.correct]
        wrong = [row.name for row in of_kind if not row.error and not row.correct]
        full = [row for row in right if row.gone >= 0.9 * row.removable]
        print(f"\n{kind}: {len(of_kind)} networks, {len(right)} correct, wrong: {wrong}")
        print(f"correct with at least 90 % of the removable gone: {len(full)}")
        killed, dead, removable, gone = (
            sum(getattr(row, what) for row in right)
            for what in ("killed", "dead", "removable", "gone")
        )
        print(f"filters killed {killed:,}, dead {dead:,}, removable {removable:,}, gone {gone:,}")
        for peer in PEERS:
            results = [row.peers[peer] for row in of_kind if peer in row.peers]
            ran = [r for r in results if "error" not in r]
            exact = [r for r in ran if r["same"] <= 1e-4]
            both = [r for r in exact if not r["other"] > 1e-4]
            print(
                f"{peer}: of {len(results)}, {len(results) - len(ran)} raised, {len(exact)} "
                f"correct at the given size, {len(both)} also at another"
            )
        for row in of_kind:
            if row.error or row not in full:
                print(f"  {row.name}: {row.error or f'{row.gone} of {row.removable} gone'}")


if __name__ == "__main__":
    main()
