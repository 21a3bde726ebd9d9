"""Images are found in folders, by their names' endings."""

from pathlib import Path

import pytest

from openwork.errors import DataError
from openwork.predict.found import found


def test_folders_are_searched_and_files_taken_as_they_are(images: Path) -> None:
    names = [f"{part}/{colour}.png" for part in "ab" for colour in ("blue", "green", "red")]
    assert found([images]) == [images / name for name in names]
    notes = images / "notes.txt"
    assert found([notes, images / "b"])[:2] == [notes, images / "b" / "blue.png"]


def test_what_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; check the path"):
        found([tmp_path / "none"])
    with pytest.raises(DataError, match=r"holds no images \(\.apng"):
        found([tmp_path])
