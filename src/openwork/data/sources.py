"""The data sets that `load` knows by name, as a table."""

from dataclasses import dataclass
from pathlib import Path

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True)
class Source:
    """Where a named data set is and what its files hold.

    Args:
        name: the name that `load` takes, and the name of its folder below `root`.
        hub: data set on the Hugging Face hub, or None.
        image: column of image structs `{bytes, path}`.
        label: column of class numbers.
        channels: 1 (grey) or 3 (RGB).
        size: (H, W) of every image, in pixels.
        classes: class names, in the order of the class numbers.
        folder: folder of the files inside the package, default None.
    """

    name: str
    hub: str | None
    image: str
    label: str
    channels: int
    size: tuple[int, int]
    classes: tuple[str, ...]
    folder: Path | None = None


_DIGITS = tuple("0123456789")

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("mnist-subset", None, "image", "label", 1, (28, 28), _DIGITS, EMBEDDED / "mnist"),
        Source("mnist", "ylecun/mnist", "image", "label", 1, (28, 28), _DIGITS),
        Source("cifar10", "uoft-cs/cifar10", "img", "label", 3, (32, 32), tuple(_CIFAR10.split())),
        Source(
            "cifar100",
            "uoft-cs/cifar100",
            "img",
            "fine_label",
            3,
            (32, 32),
            tuple(_CIFAR100.split()),
        ),
    )
}


def names() -> tuple[str, ...]:
    """The names that `load` takes besides `folder:PATH`; the first is the default.

    >>> names()
    ('mnist-subset', 'mnist', 'cifar10', 'cifar100', 'morse')
    """
    return *SOURCES, "morse"
