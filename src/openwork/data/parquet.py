"""Read labelled images from parquet files, shard by shard."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openwork._files import open_file
from openwork.data.image import ImageFault, decode
from openwork.data.sources import Source
from openwork.errors import DataError

# Made when it is imported, so that no type checker knows its functions.
_COMPUTE: Any = importlib.import_module("pyarrow.compute")
_BATCH_ROWS = 1024
# Bytes that an encoded image may have besides four for each of its values.
_EXTRA_BYTES = 16 * 1024
# Rows that may be equal to others and take next to nothing; the cache needs room for each.
_ROWS_PER_BYTE = 1000


class ParquetReader:
    """Decodes the parquet files of a named data set (a `Reader` for the cache).

    Args:
        source: what the files hold.
        shards: the files of "train" and of "test", in order.
    """

    def __init__(self, source: Source, shards: Mapping[str, Sequence[Path]]) -> None:
        self.name = source.name
        self.slug = source.name
        self.classes = source.classes
        self.parameters = {**asdict(source), "folder": None}
        self._source = source
        self._shards = shards

    def files(self) -> list[tuple[str, Path]]:
        """Every source file, with its name in the cache key."""
        return [(file.name, file) for shards in self._shards.values() for file in shards]

    def shape(self, split: str) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the split, from the files' footers.

        Raises:
            DataError: a file is not a complete parquet file or lacks a column, or the split is
                empty.
        """
        rows = 0
        for path in self._shards[split]:
            with _open(path, self._source) as file:
                rows += _checked_rows(path, file.metadata, self._source)
        if rows == 0:
            where = ", ".join(map(str, self._shards[split]))
            raise DataError(
                f"the data set {self.name} is empty: no rows in {where}; copy or download it again"
            )
        return rows, self._source.channels, *self._source.size

    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` (N, C, H, W) uint8 and `labels` (N,) int64.

        Raises:
            DataError: a row is unusable; the message names the file and the row.
        """
        source, position = self._source, 0
        for path in self._shards[split]:
            for row, data, label in _rows(path, source):
                where = f"`{path}`, row {row} (the first is 0)"
                if data is None:
                    raise DataError(
                        f"{where}: `{source.image}` is null; every row must hold an image"
                    )
                if label is None:
                    raise DataError(
                        f"{where}: `{source.label}` is null; every row must hold a class"
                    )
                if not 0 <= label < len(source.classes):
                    raise DataError(
                        f"{where}: `{source.label}`={label} is out of range; it must be a class of "
                        f"{source.name}, 0..{len(source.classes) - 1}"
                    )
                try:
                    images[position] = decode(data, source.channels, source.size)
                except ImageFault as fault:
                    raise DataError(f"{where}: `{source.image}`: {fault}") from fault
                labels[position] = label
                position += 1


def _open(path: Path, source: Source) -> pq.ParquetFile:
    try:
        # pyarrow would wait for the writer of a FIFO.
        open_file(path).close()
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, source)
        # As a dictionary, a value that a few bytes repeat in every row is in memory once.
        return pq.ParquetFile(path, read_dictionary=[f"{source.image}.bytes"])
    # In a damaged footer the name of a column may not be valid UTF-8.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(f"`{path}`", error) from error


def _check_columns(path: Path, schema: pa.Schema, source: Source) -> None:
    for column in (source.image, source.label):
        if column not in schema.names:
            raise DataError(
                f"`{path}` has no column `{column}`, which {source.name} needs; "
                f"its columns are: {', '.join(schema.names) or 'none'}"
            )
        if schema.names.count(column) > 1:
            raise DataError(f"`{path}` has several columns `{column}`; keep one of them")
    image, label = schema.field(source.image).type, schema.field(source.label).type
    inner = image.field("bytes").type if _has_bytes(image) else None
    if inner is None or not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
        raise DataError(
            f"`{path}`: column `{source.image}` has type {image}; it must be a struct with a "
            "binary field `bytes` that holds an encoded image"
        )
    if not pa.types.is_integer(label):
        raise DataError(
            f"`{path}`: column `{source.label}` has type {label}; it must hold whole numbers"
        )


def _checked_rows(path: Path, metadata: pq.FileMetaData, source: Source) -> int:
    """The rows of a file, whose footer must be plausible: a few bytes can unpack to gigabytes."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if not 0 <= rows == metadata.num_rows <= _ROWS_PER_BYTE * path.stat().st_size:
        raise _damaged(f"`{path}`", f"its footer says that {metadata.num_rows:,} rows are in it")
    for group in groups:
        columns = map(group.column, range(group.num_columns))
        wanted = [c for c in columns if c.path_in_schema.split(".")[0] in _columns(source)]
        unpacked = sum(column.total_uncompressed_size for column in wanted)
        most = (group.num_rows + 1) * _most_bytes(source)
        if not 0 <= unpacked <= most:
            raise DataError(
                f"`{path}` has {group.num_rows:,} rows that unpack to {unpacked:,} bytes; so many "
                f"images of {source.name} take at most {most:,}. Copy or download it again"
            )
    return rows


def _columns(source: Source) -> list[str]:
    return [source.image, source.label]


def _most_bytes(source: Source) -> int:
    return _EXTRA_BYTES + 4 * source.channels * source.size[0] * source.size[1]


def _check_lengths(path: Path, row: int, data: pa.DictionaryArray, source: Source) -> None:
    """Refuse a batch, from row `row`, with longer images than `source` can have."""
    each = _COMPUTE.binary_length(data.dictionary).take(data.indices)
    lengths = _COMPUTE.fill_null(each, 0).to_numpy()
    longest = lengths.max(initial=0)
    if longest > _most_bytes(source):
        raise DataError(
            f"`{path}`, row {row + lengths.argmax()} (the first is 0): "
            f"`{source.image}` has {longest:,} bytes; an image of {source.name} has at most "
            f"{_most_bytes(source):,}"
        )


def _has_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _rows(path: Path, source: Source) -> Iterator[tuple[int, bytes | None, int | None]]:
    row = 0
    batches = _batches(path, source)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(f"`{path}`, row {row} or later", error) from error
        if batch is None:
            break
        image = batch.column(source.image)
        # flatten, unlike field, gives null where the struct itself is null.
        data = image.flatten()[image.type.get_field_index("bytes")]
        _check_lengths(path, row, data, source)
        encoded = data.dictionary_decode().to_pylist()
        for item in zip(encoded, batch.column(source.label).to_pylist(), strict=True):
            yield row, *item
            row += 1
    with _open(path, source) as file:
        if row != file.metadata.num_rows:
            raise _damaged(f"`{path}`", f"{row} rows; the footer says {file.metadata.num_rows}")


def _batches(path: Path, source: Source) -> Iterator[pa.RecordBatch]:
    """The rows of a file. Each group has a dictionary, and pyarrow reads one at a time only."""
    with _open(path, source) as file:
        for group in range(file.num_row_groups):
            yield from file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=_columns(source))


def _damaged(where: str, why: object) -> DataError:
    return DataError(f"{where}: not a complete parquet file ({why}); copy or download it again")
