"""Pictures in a parquet file, here or in a bucket, one row group in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vizinho.datasets import Skipped
from vizinho.datasets.parquet import find_columns
from vizinho.errors import SourceError, UnreadableImage
from vizinho.sources.items import SourceItem, key_fault, shown
from vizinho.sources.s3 import SCHEME, connect, explained, find_way, split_url

_ROWS = 256


def parquet_items(spec: str, skipped: list[Skipped], *, prefix: str = "") -> Iterator[SourceItem]:
    """Every picture of the file ``spec`` (a path, or ``s3://...``), with its label if it has one.

    Columns are found as for data sets: a picture column, bytes or a struct with them, and maybe a
    label column. Keys are the pictures' own paths where these are there and unique, else the file's
    name and the row. Raises SourceError for a file that can't be read or has no pictures.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stem = PurePosixPath(spec).stem
    try:
        with _opened(spec) as raw, pq.ParquetFile(raw) as file:
            columns = find_columns(file.schema_arrow)
            if columns.image is None:
                named = ", ".join(file.schema_arrow.names) or "none"
                raise SourceError(
                    f"{spec} has no picture column (bytes); its columns are {named}.",
                    "Name it 'image'.",
                )
            paths = _paths(file, columns.image) if columns.image_is_struct else None
            wanted = [name for name in (columns.image, columns.label) if name is not None]
            row = 0
            for batch in file.iter_batches(_ROWS, columns=wanted, use_threads=False):
                cells = batch.column(columns.image)
                labels = batch.column(columns.label) if columns.label is not None else None
                for i in range(batch.num_rows):
                    key = f"{stem}/{row:05d}" if paths is None else str(paths[row])
                    row += 1
                    if reason := key_fault(key):
                        skipped.append(Skipped(shown(key), reason))
                        continue
                    label = None if labels is None else _label(labels[i].as_py(), columns.classes)
                    yield _item(prefix + key, _bytes(cells[i].as_py()), label)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).rstrip(".")
        raise SourceError(f"{spec} is not a readable parquet file: {reason}.") from error


def _opened(spec: str) -> Any:
    import pyarrow as pa

    if not spec.startswith(SCHEME):
        return pa.OSFile(str(Path(spec)), "r")
    bucket, key = split_url(spec)
    with explained(spec):
        return connect(find_way(bucket)).open_input_file(f"{bucket}/{key}")


def _paths(file: Any, column: str) -> Any:
    """The pictures' paths, row by row, if each has one of its own."""
    import pyarrow.compute as pc

    cells = file.read(columns=[f"{column}.path"], use_threads=False).column(column)
    paths = pc.struct_field(cells, "path").combine_chunks()
    if paths.null_count or pc.count_distinct(paths).as_py() != len(paths):
        return None
    return paths


def _item(key: str, data: bytes | None, label: str | None) -> SourceItem:
    def read() -> bytes:
        if data is None:
            raise UnreadableImage(f"{key} holds no picture.")
        return data

    return SourceItem(key, key, read, label=label)


def _bytes(cell: Any) -> bytes | None:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return None if data is None else bytes(data)


def _label(value: Any, classes: list[str] | None) -> str | None:
    if isinstance(value, int) and classes is not None:
        return classes[value] if 0 <= value < len(classes) else None
    return None if value in (None, "") else str(value)
