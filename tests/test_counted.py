"""Numbers of things."""

from openwork._counted import counted


def test_one_is_singular() -> None:
    assert counted(1, "thread") == "1 thread"
    assert counted(0, "thread") == "0 threads"
    assert counted(1200, "class", "classes") == "1,200 classes"
    assert counted(1, "class", "classes") == "1 class"
