"""Numbers of things in words."""


def counted(count: int, thing: str, several: str = "") -> str:
    """`count` and its noun, singular or plural; `several` is a plural that is not formed with s.

    >>> counted(1, "thread"), counted(2_000, "thread"), counted(0, "class", "classes")
    ('1 thread', '2,000 threads', '0 classes')
    """
    return f"{count:,} {thing if count == 1 else several or f'{thing}s'}"
