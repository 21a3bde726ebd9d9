"""The named data sets: their names, classes and where they lie."""

from openwork.data.sources import SOURCES, names


def test_names_in_order_with_the_default_first() -> None:
    assert names() == ("mnist-subset", "mnist", "cifar10", "cifar100", "morse")


def test_classes_are_as_many_as_the_name_says_and_distinct() -> None:
    counts = {name: len(set(source.classes)) for name, source in SOURCES.items()}
    assert counts == {"mnist-subset": 10, "mnist": 10, "cifar10": 10, "cifar100": 100}
    # cifar100's fine classes are numbered by the alphabet.
    assert list(SOURCES["cifar100"].classes) == sorted(SOURCES["cifar100"].classes)


def test_each_is_in_the_package_or_on_the_hub() -> None:
    for source in SOURCES.values():
        assert (source.folder is None) is (source.hub is not None)
        assert source.folder is None or source.folder.is_dir()
