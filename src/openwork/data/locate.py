"""Find the parquet files of a named data set: in the package, in a folder or on the hub."""

import os
import re
from pathlib import Path

from openwork._files import check_path
from openwork.data.sources import SOURCES, Source
from openwork.errors import DataError, MissingPackageError

_SPLITS = ("train", "test")
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


def locate(source: Source, root: str | os.PathLike[str] | None) -> dict[str, list[Path]]:
    """The files of each split: from the package, else `root`, else OPENWORK_DATA, else the hub.

    Raises:
        DataError: files are missing, or the hub cannot be reached.
        MissingPackageError: the hub is needed and huggingface_hub is not installed.
    """
    if source.folder is not None:
        return _in_folder(source.folder)
    if root is not None:
        check_path(root, "root")
        return _in_root(source, Path(root), f"`root`={str(root)!r}")
    if variable := os.environ.get("OPENWORK_DATA"):
        return _in_root(source, Path(variable), f"`OPENWORK_DATA`={variable!r}")
    return _in_folder(_snapshot(source))


def _in_root(source: Source, root: Path, argument: str) -> dict[str, list[Path]]:
    try:
        root = root.expanduser()
        exists = root.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{argument} cannot be read ({error}); choose another path") from error
    if not exists:
        raise DataError(
            f"{argument} is not a folder; it must be one that holds {source.name}/train-*.parquet"
        )
    if not any((root / source.name).rglob("*.parquet")):
        present = [name for name in SOURCES if any((root / name).rglob("train-*.parquet"))]
        raise DataError(
            f"{argument} does not hold {source.name}: it needs {source.name}/train-*.parquet and "
            f"{source.name}/test-*.parquet; it holds {', '.join(present) or 'no known data set'}"
        )
    return _in_folder(root / source.name)


def _in_folder(folder: Path) -> dict[str, list[Path]]:
    shards = {split: find_shards(folder, split) for split in _SPLITS}
    for split, files in shards.items():
        if not files:
            raise DataError(f"`{folder}` has no {split}-*.parquet; copy or download it again")
    return shards


def find_shards(folder: Path, split: str) -> list[Path]:
    """The files `<split>-*.parquet` in `folder` or in a single folder below it.

    Returns:
        The files sorted by name; an empty list if there are none.

    Raises:
        DataError: a numbered shard is missing, or several folders hold the split.
    """
    files = sorted(folder.rglob(f"{split}-*.parquet"))
    parents = sorted({str(file.parent) for file in files})
    if len(parents) > 1:
        raise DataError(
            f"`{folder}` holds {split}-*.parquet in several folders: {', '.join(parents)}; "
            "keep only one of them"
        )
    numbered = {file.name: _SHARD.search(file.name) for file in files}
    totals = {int(match[2]) for match in numbered.values() if match}
    if not totals:
        return files
    if len(totals) > 1 or not all(numbered.values()):
        raise DataError(
            f"`{parents[0]}` mixes several exports of {split}: {', '.join(numbered)}; keep only one"
        )
    total = totals.pop()
    present = {int(match[1]) for match in numbered.values() if match}
    missing = [
        f"{split}-{number:05d}-of-{total:05d}.parquet"
        for number in range(total)
        if number not in present
    ]
    if missing:
        raise DataError(f"`{parents[0]}` lacks {', '.join(missing)}; copy or download it again")
    return files


def _snapshot(source: Source) -> Path:
    way_out = f"set OPENWORK_DATA to a folder with {source.name}/train-*.parquet"
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingPackageError(
            f"downloading {source.name} needs huggingface_hub: "
            f"pip install openwork[hub], or {way_out}"
        ) from error
    try:
        folder = snapshot_download(str(source.hub), repo_type="dataset", allow_patterns="*.parquet")
    # The hub's client raises the errors of its transport, which differs between versions.
    except Exception as error:
        raise DataError(
            f"{source.name} could not be downloaded from the Hugging Face hub ({source.hub}): "
            f"{error}; check the network, or {way_out}"
        ) from error
    return Path(folder)
