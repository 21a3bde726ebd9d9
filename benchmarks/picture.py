"""Draw docs/speed-up.svg, the picture of the README, from networks-1t-b1.json.

python benchmarks/picture.py
"""

import json
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from openwork._files import atomic_path

FOLDER = Path(__file__).parent
TARGET = FOLDER.parent / "docs" / "speed-up.svg"
DENSITIES = ("1", "0.5", "0.25", "0.15", "0.1")
# Record's name -> label, colour. The colours can be told apart without red and green.
NETWORKS = {
    "vgg16": ("VGG-16", "#0b4f8a"),
    "inception": ("Inception V3", "#d1700c"),
    "resnet50": ("ResNet-50", "#6a3d9a"),
    "resnet32": ("ResNet-32 (CIFAR)", "#4d7d84"),
}


def draw() -> Figure:
    record = json.loads((FOLDER / "networks-1t-b1.json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    ends = []
    for name, (label, colour) in NETWORKS.items():
        seconds = record["results"][name]["seconds"]
        ratios = [seconds["onnxruntime"] / seconds[f"openwork {d}"] for d in DENSITIES]
        axes.plot(range(len(ratios)), ratios, "o-", color=colour, linewidth=2, markersize=5)
        ends.append((ratios[-1], f"{ratios[-1]:.1f}×  {label}", colour))
    place = 0.0
    for ratio, text, colour in sorted(ends):
        # Labels of lines that end close together are moved apart.
        place = max(ratio, place + 0.55)
        axes.annotate(
            text,
            (len(DENSITIES) - 1, ratio),
            (len(DENSITIES) - 0.85, place),
            color=colour,
            va="center",
            fontsize=10,
        )
    axes.axhline(1, color="#777777", linewidth=1, linestyle="--")
    axes.text(2.05, 0.55, "dense in ONNX Runtime", color="#555555", fontsize=9, va="center")
    shares = ["dense", *(f"{float(density):.0%}" for density in DENSITIES[1:])]
    axes.set_xticks(range(len(DENSITIES)), shares)
    axes.set_xlim(-0.15, len(DENSITIES) + 0.85)
    axes.set_ylim(0, 8)
    axes.set_xlabel("kernels that live", loc="left")
    axes.set_title("Times as fast as ONNX Runtime: one core, one image", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e5")
    axes.set_axisbelow(True)
    return figure


def main() -> None:
    # Fixed, so that the same record gives the same file.
    fixed = rc_context({"svg.hashsalt": "openwork", "font.family": "DejaVu Sans"})
    with fixed, atomic_path(TARGET) as temporary:
        draw().savefig(temporary, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
