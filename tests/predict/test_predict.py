"""The table has one row for each image that can be read, or is not written at all."""

import csv
from pathlib import Path

import pytest

from openwork.errors import ArgumentError, DataError
from openwork.predict import predict


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_names_images_classes_and_faults(
    network: Path, images: Path, tmp_path: Path
) -> None:
    (images / "b" / "broken.png").write_bytes(b"no picture")
    table, seen = tmp_path / "out.csv", list[tuple[int, int]]()
    result = predict(
        network, [images], table, batch=3, progress=lambda *counts: seen.append(counts)
    )
    assert result.images == 6
    assert [path.name for path, _ in result.faults] == ["broken.png"]
    assert seen == [(3, 7), (6, 7), (7, 7)]
    rows = _rows(table)
    assert list(rows[0]) == ["image", "class", "name", "probability"]
    assert [row["name"] for row in rows] == ["blue", "green", "red"] * 2
    assert [Path(row["image"]).stem for row in rows] == ["blue", "green", "red"] * 2
    assert float(rows[0]["probability"]) == pytest.approx(0.576117)


def test_a_network_for_one_batch_size_gets_full_batches(
    network: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six images in batches of four: the last is filled up, and what fills it has no row."""
    monkeypatch.setattr("openwork.predict.classifier.Classifier.images", 4)
    table = tmp_path / "out.csv"
    assert predict(network, [images], table).images == 6
    assert len(_rows(table)) == 6


def test_what_fails_leaves_an_earlier_table_alone(
    network: Path, images: Path, tmp_path: Path
) -> None:
    table = tmp_path / "out.csv"
    table.write_text("earlier")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(network, [images], table, progress=stop)
    assert table.read_text() == "earlier"
    assert [path.name for path in tmp_path.glob(".*partial")] == []
    with pytest.raises(DataError, match=r"`table`=.* could not be written"):
        predict(network, [images], images)
    with pytest.raises(ArgumentError, match="`workers`=0"):
        predict(network, [images], table, workers=0)
