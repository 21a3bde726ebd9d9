"""How many test images do CIFAR-10 ResNets that others trained classify correctly in int8?

    python benchmarks/quantize_cifar10.py [--out quantize_cifar10.json] [--depth 20] [--method mse]
        [--count 10000]

Ranges come from the first 128 training images; biases are corrected on them. Compiled kernels run
both networks, those of bytes with the same results on every processor. `same` counts the images
that keep their class. Results are saved after each network, and a second run continues from them.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from record import keep_rows, kept_rows

import openwork as ow
from openwork.quantize import quantize
from openwork.quantize.ranges import METHODS

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cifar_resnets import (  # type: ignore[import-not-found]
    CORRECT,
    classes,
    held_out,
    trained,
    training_images,
)


@dataclass(frozen=True)
class Row:
    """One network, with ranges found in one way; counts of test images."""

    depth: int
    method: str
    images: int
    correct_float32: int
    correct_int8: int
    same: int


def measure(depth: int, method: str, count: int) -> Row:
    """The row of a network."""
    model, (images, labels) = trained(depth), held_out(count)
    small, _ = quantize(model, [training_images(128)], calibrate=method, tolerance=1)
    before, after = (classes(ow.compile(each, images[:1]), images) for each in (model, small))
    return Row(
        depth,
        method,
        count,
        int((before == labels).sum()),
        int((after == labels).sum()),
        int((before == after).sum()),
    )


def main() -> None:
    """Measure all, or what the options name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--depth", type=int, choices=CORRECT)
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    rows = [Row(**row) for row in kept_rows(options.out)]
    known = {(row.depth, row.method) for row in rows}
    for depth in [options.depth] if options.depth else CORRECT:
        for method in [options.method] if options.method else METHODS:
            if (depth, method) not in known:
                rows.append(measure(depth, method, options.count))
                print(rows[-1], flush=True)
                keep_rows(options.out, rows)


if __name__ == "__main__":
    main()
