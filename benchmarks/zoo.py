"""Do timm's and torchvision's CNNs compile, with the same outputs?

    python benchmarks/zoo.py [--out zoo.json] [--limit 20] [--only resnet] [--image 64] [--tune]
                             [--seconds 300] [--gigabytes 12]

Each network has random weights and random batch-norm statistics, and is captured once. It is then
compiled dense, and again with 70 % of all kernels zeroed, with the kernels of each family in turn
rather than with measured ones. With `--tune` it is also compiled as a user would, and both versions
take turns with torch; networks that take more than 3 % longer than torch are listed as slower.
Every network runs in a separate process with limits on time and memory, so that a crash becomes a
row. With `--out` rows are saved after each network, and a second run continues from them.

Printed per network: whether any batch size is allowed, the largest difference from the original
relative to its largest output, torch's own float32 error (its difference from float64: some random
networks amplify every rounding), speed-ups dense/sparse, and the operators left to torch, with the
reasons. Each sparse network is also saved and loaded, and must compute the same.
"""

import argparse
import platform
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from apart import apart
from record import keep_rows, kept_rows
from torch import nn
from torch.utils import _pytree

import openwork as ow
from openwork.capture import Captured, capture
from openwork.engine import CompiledModel, compile
from openwork.engine.compile import assemble
from openwork.engine.restore import describe, restore
from openwork.engine.runners import Choice
from openwork.engine.tune.tuner import Tuner, requested
from openwork.engine.verify import verify
from openwork.kernels.native import extension as _C
from openwork.models.zoo import import_zoo
from openwork.runtime.layers import SharedWeights
from openwork.runtime.nodes import Conv
from openwork.verify import rounding

# One or more small networks of every family of CNNs.
TIMM = """\
resnet18 resnet26d resnet32ts resnet50 resnetv2_50 resnext50_32x4d resnetblur50 resnetrs50
resnetaa50d resnet51q resnet61q wide_resnet50_2 seresnet18 seresnext26d_32x4d seresnext26t_32x4d
legacy_seresnet18 legacy_seresnext26_32x4d skresnet18 skresnext50_32x4d ecaresnet26t
ecaresnet50t gcresnet33ts gcresnext26ts eca_resnet33ts seresnet33ts eca_resnext26ts
seresnext26ts resnest14d resnest26d resnest50d_1s4x24d res2net50_26w_4s res2net50_48w_2s
res2net50d res2next50 densenet121 densenetblur121d dla34 dla46_c dla60 dla60_res2net dla60x
dpn48b dpn68 dpn68b inception_v3 inception_v4 inception_resnet_v2 inception_next_atto xception41
xception41p legacy_xception vgg11 vgg11_bn vgg16_bn repvgg_a0 repvgg_b1g4 repvit_m0_9
mobileone_s0 mobileone_s1 mobilenetv1_100 mobilenetv2_050 mobilenetv2_100
mobilenetv3_small_050 mobilenetv3_large_100 mobilenetv3_rw mobilenetv4_conv_small
mobilenetv4_conv_medium mobilenet_edgetpu_100 mobilenet_edgetpu_v2_xs mnasnet_050 mnasnet_small
semnasnet_100 fbnetc_100 fbnetv3_b spnasnet_100 tinynet_a tinynet_e lcnet_050 hardcorenas_a
efficientnet_b0 efficientnet_lite0 efficientnet_es efficientnet_cc_b0_4e efficientnetv2_rw_t
efficientnet_b0_gn tf_efficientnet_b0 tf_efficientnet_lite0 tf_efficientnetv2_b0
tf_mobilenetv3_small_minimal_100 mixnet_s tf_mixnet_s ghostnet_050 ghostnet_100 ghostnetv2_100
ghostnetv3_050 regnetx_002 regnetx_004 regnety_002 regnety_004 regnetz_b16 regnetz_c16
regnetv_040 hrnet_w18_small hrnet_w18_small_v2 selecsls42 selecsls42b selecsls60 cspresnet50
cspresnext50 cspdarknet53 darknet17 darknet21 darknet53 darknetaa53 sedarknet21 rexnet_100
rexnetr_100 cs3darknet_s cs3darknet_m cs3sedarknet_l nfnet_l0 eca_nfnet_l0 dm_nfnet_f0
nf_resnet26 nf_regnet_b0 nf_ecaresnet26 resnetv2_50x1_bit resnetv2_50d_gn resnetv2_50d_evos
convnext_atto convnext_femto convnextv2_atto convmixer_768_32 bat_resnext26ts lambda_resnet26t
halonet26t botnet26t_256 hgnet_tiny hgnetv2_b0 ese_vovnet19b_slim ese_vovnet19b_dw vovnet39a
tresnet_m fasternet_t0 starnet_s1 pelee gernet_s test_resnet test_efficientnet test_convnext
mambaout_femto rdnet_tiny edgenext_xx_small focalnet_tiny_srf poolformer_s12 poolformerv2_s12
caformer_s18 convformer_s18 xcit_nano_12_p16_224
"""
# Prefixes of torchvision's models that are not CNNs.
TRANSFORMERS = ("vit_", "swin", "maxvit")
# Kernel families in the order in which they are tried for a layer.
_FIRST = ("*winograd4*", "*-spmm-*", "*-direct-*", "*-taps-*")
DENSE_PLANS = (("torch",), _FIRST)
SPARSE_PLANS = (_FIRST, ("*winograd2*", "*-direct-*", "*-taps-*"), ("*-taps-*",))


# Live weights above which a layer is left to torch: packing the heads of VGG and AlexNet or dense
# wide ResNets takes a minute.
_MANY = 1 << 21


@dataclass
class Row:
    """The result for one network."""

    name: str
    error: str = ""
    any_batch: bool = False
    dense: float = float("nan")
    sparse: float = float("nan")
    rounding: float = 0.0
    fallbacks: list[str] = field(default_factory=list)
    unsaved: str = ""
    dense_ratio: float | None = None
    sparse_ratio: float | None = None

    @property
    def wrong(self) -> bool:
        """Whether the difference exceeds float32 rounding."""
        return not max(self.dense, self.sparse) <= max(1e-3, 5 * self.rounding)

    @property
    def slow(self) -> bool:
        """Whether a compiled network takes more than 3 % longer than torch."""
        return any(ratio is not None and ratio < 0.97 for ratio in self.ratios)

    @property
    def ratios(self) -> tuple[float | None, float | None]:
        """Torch's time over the compiled network's: dense, and with kernels zeroed."""
        return self.dense_ratio, self.sparse_ratio


def main() -> None:
    parser = argparse.ArgumentParser(description="Do timm's and torchvision's CNNs compile?")
    parser.add_argument("--limit", type=int, help="maximum number of networks")
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    parser.add_argument("--image", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--tune", action="store_true", help="also measure kernels: minutes each")
    parser.add_argument("--seconds", type=float, default=300, help="time limit per network")
    parser.add_argument("--gigabytes", type=float, default=12, help="memory limit per network")
    parser.add_argument("--out", type=Path, help="file for rows; an existing one is continued")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in _names() if options.only in name][: options.limit]
    print(f"{len(names)} networks, {_versions()}, {platform.machine()}, {_C.chosen_isa()}")
    print(
        f"{'network':44} {'batch':>5} {'dense':>9} {'sparse':>9} {'rounding':>9} "
        f"{'ratios':>11} fallbacks"
    )
    kept = {row["name"]: Row(**row) for row in kept_rows(options.out)}
    for name in names:
        if name not in kept:
            kept[name] = apart(
                partial(_examined, name, options),
                partial(Row, name),
                options.seconds,
                options.gigabytes,
            )
            keep_rows(options.out, list(kept.values()))
        _print(kept[name])
    _totals([kept[name] for name in names])


def _names() -> list[str]:
    timm = import_zoo("timm")
    models = import_zoo("torchvision").models
    names = [f"timm:{name}" for name in TIMM.split() if timm.is_model(name)]
    for name in models.list_models(module=models):
        if not name.startswith(TRANSFORMERS):
            names.append(f"torchvision:{name}")
    return names


def _examined(name: str, options: argparse.Namespace) -> Row:
    row = Row(name)
    examine(row, options.image, options.tune)
    return row


def examine(row: Row, image: int, tune: bool) -> None:
    """Fill in `row`."""
    torch.manual_seed(0)
    model, captured, example = _captured(row.name, image)
    row.any_batch = captured.batch is None
    row.dense = max(_difference(row, model, captured, example, plan) for plan in DENSE_PLANS)
    row.rounding = rounding(model, (example,))
    if tune:
        row.dense_ratio = _ratio(row, model, example)
    _zero_kernels(model)
    row.rounding = max(row.rounding, rounding(model, (example,)))
    row.sparse = max(_difference(row, model, captured, example, plan) for plan in SPARSE_PLANS)
    if tune:
        row.sparse_ratio = _ratio(row, model, example)


def _captured(name: str, image: int) -> tuple[nn.Module, Captured, torch.Tensor]:
    """The network, captured, and an image of the smallest of a few sizes that it accepts."""
    size = {"inception_v3": 96, "inception_v4": 96, "inception_resnet_v2": 96}
    kept = size.get(name.partition(":")[2], image)
    for side in (kept, 128, 224, 256):
        model = ow.models.build(name, num_classes=10).eval()
        randomise(model)
        example = torch.randn(1, 3, side, side)
        try:
            with torch.no_grad():
                model(example)
            return model, capture(model, (example,)), example
        except (ow.CaptureError, RuntimeError, ValueError, AssertionError):
            if side == 256:
                raise
    raise ValueError(name)


def randomise(model: nn.Module) -> None:
    """Statistics, scales and shifts of norms as they may be in a trained network."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            mean, variance = module.running_mean, module.running_var
            if mean is not None and variance is not None:
                nn.init.normal_(mean, std=0.1)
                nn.init.uniform_(variance, 0.5, 1.5)
        if "Norm" in type(module).__name__:
            weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
            if isinstance(weight, nn.Parameter):
                nn.init.uniform_(weight, 0.5, 1.5)
            if isinstance(bias, nn.Parameter):
                nn.init.normal_(bias, std=0.1)


@torch.no_grad()
def _zero_kernels(model: nn.Module, dead: float = 0.7) -> None:
    """Zero kernels in place, so that the captured network, which shares them, changes too."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            alive = torch.rand(module.weight.shape[:2]) >= dead
            module.weight *= (alive / (1 - dead) ** 0.5)[:, :, None, None]


def _difference(
    row: Row, model: nn.Module, captured: Captured, example: torch.Tensor, kernels: tuple[str, ...]
) -> float:
    isa = _C.chosen_isa()

    def choice(conv: Conv) -> Choice:
        if conv.positions.size > _MANY or kernels == ("torch",):
            return Choice("torch")
        return requested(conv, {"*": (*kernels, "torch")}, isa) or Choice("torch")

    def choose(convs: Sequence[Conv]) -> list[Choice]:
        return [choice(conv) for conv in convs]

    compiled, _ = assemble(captured, choose, Tuner(1, 1, "speed", isa, None), SharedWeights())
    row.fallbacks = [note for note in compiled.layers.notes if note.startswith("left to torch")]
    if kernels == SPARSE_PLANS[-1]:
        row.unsaved = _unsaved(compiled, example)
    return verify(model, compiled, (example,), captured.batch is None, float("inf"))


def _unsaved(compiled: CompiledModel, example: torch.Tensor) -> str:
    """Why the network cannot be saved and loaded; empty if it can."""
    try:
        loaded = restore(*describe(compiled))
    except ow.OpenworkError as error:
        return str(error)
    pairs = zip(*(_tensors(model(example)) for model in (compiled, loaded)), strict=True)
    same = all(torch.equal(a, b) or a.isnan().any() for a, b in pairs)
    return "" if same else "the loaded network computes something else"


def _tensors(result: Any) -> list[torch.Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def _ratio(row: Row, model: nn.Module, example: torch.Tensor) -> float:
    """The speed-up of the compiled network over torch: the median over paired calls."""
    compiled = compile(model, example, tolerance=max(1e-3, 5 * row.rounding))
    ratios = []
    with torch.no_grad():
        for _ in range(31):
            ratios.append(_seconds(model, example) / _seconds(compiled, example))
    return statistics.median(ratios)


def _seconds(run: nn.Module, example: torch.Tensor) -> float:
    began = time.perf_counter()
    run(example)
    return time.perf_counter() - began


def _print(row: Row) -> None:
    if row.error:
        print(f"{row.name:44} {row.error}", flush=True)
        return
    batch = "any" if row.any_batch else "fixed"
    ratio = "/".join("" if ratio is None else f"{ratio:.2f}" for ratio in row.ratios)
    print(
        f"{row.name:44} {batch:>5} {row.dense:9.1e} {row.sparse:9.1e} {row.rounding:9.1e} "
        f"{ratio:>11} " + "; ".join(note.removeprefix("left to torch, ") for note in row.fallbacks),
        flush=True,
    )


def _totals(rows: list[Row]) -> None:
    done = [row for row in rows if not row.error]
    wrong = [row.name for row in done if row.wrong]
    print(
        f"\n{len(rows)} networks: {len(done)} compiled, {len(rows) - len(done)} refused or failed"
    )
    print(f"differ by more than 1e-3 and five times torch's rounding: {len(wrong)} {wrong}")
    print(f"any batch size: {sum(row.any_batch for row in done)}")
    print(f"without fallbacks: {sum(not row.fallbacks for row in done)}")
    slower = [row.name for row in done if row.slow]
    if any(row.dense_ratio is not None for row in done):
        print(f"more than 3 % slower than torch: {len(slower)} {slower}")
    unsaved = [f"{row.name} ({row.unsaved})" for row in done if row.unsaved]
    print(f"cannot be saved and loaded: {len(unsaved)} {unsaved}")
    reasons = Counter(note.partition(": ")[2] for row in done for note in row.fallbacks)
    print("why operators were left to torch, by networks:")
    for reason, count in reasons.most_common():
        print(f"  {count:4} {reason}")
    for row in rows:
        if row.error:
            print(f"failed: {row.name}: {row.error}")


def _versions() -> str:
    packages = ("timm", "torchvision")
    versions = [f"{name} {import_zoo(name).__version__}" for name in packages]
    return ", ".join([f"openwork {ow.__version__}", f"torch {torch.__version__}", *versions])


if __name__ == "__main__":
    main()
