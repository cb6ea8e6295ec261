"""Data sets in parquet, above all in the Hugging Face layout."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vizinho.datasets.base import LabelledImages, Labels, Skipped, encode_labels, no_split
from vizinho.errors import DatasetError, UnreadableImage
from vizinho.images import load_image

_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "category")
_IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png")
_GROUPS_HELD = 4


class ParquetStore:
    """Encoded pictures in parquet files; the few row groups last read are held in memory."""

    def __init__(self, paths: Sequence[Path], column: str) -> None:
        import pyarrow.parquet as pq

        self._files = [pq.ParquetFile(path) for path in paths]
        self._column = column
        self._groups = [
            (file, group) for file in self._files for group in range(file.metadata.num_row_groups)
        ]
        rows = [file.metadata.row_group(group).num_rows for file, group in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self._held: OrderedDict[int, Any] = OrderedDict()
        # One parquet reader must not be used by two threads at a time.
        self._lock = threading.Lock()

    def read(self, position: int) -> bytes:
        group = int(np.searchsorted(self._starts, position, side="right")) - 1
        with self._lock:
            if group not in self._held:
                self._held[group] = self._read_group(group)
                while len(self._held) > _GROUPS_HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(group)
            cells = self._held[group]
        data = cells[position - int(self._starts[group])].as_py()
        if data is None:
            raise UnreadableImage(f"Row {position} holds no picture.")
        return bytes(data)

    def load(self, position: int, name: str, target: int | None) -> Image.Image:
        return load_image(self.read(position), target=target, name=name)

    def _read_group(self, group: int) -> Any:
        import pyarrow as pa

        file, index = self._groups[group]
        try:
            table = file.read_row_group(index, columns=[self._column], use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableImage(f"A part of the parquet file is damaged: {error}.") from error
        cells = table.column(0).combine_chunks()
        return cells.field("bytes") if pa.types.is_struct(cells.type) else cells


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; None where there is none. ``classes``: names of integer labels."""

    image: str | None
    image_is_struct: bool
    label: str | None
    classes: list[str] | None


@dataclass(frozen=True)
class _Columns:
    image: str
    image_is_struct: bool
    label: str
    label_names: list[str] | None


def load_parquet(
    paths: Sequence[Path],
    name: str,
    *,
    split: str | None = None,
    prefix: str | None = None,
    use_paths: bool = True,
) -> LabelledImages:
    """Pictures of parquet files: a picture column (bytes or a struct with them), a label column.

    Class names come from the Hugging Face features in the schema where there are some, else from
    the values. ``split`` keeps the rows whose column "split" says so. Names are the pictures' own
    paths where these are unique (and ``use_paths``), else ``prefix`` (the file's stem) and the row.

    Raises `DatasetError`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(paths[0])
        columns = _find_columns(schema, paths[0])
        if split and "split" not in schema.names:
            raise DatasetError(
                f"{paths[0]} has no column 'split', so it has no split {split!r}.",
                f"Its columns are {', '.join(schema.names)}.",
            )
        wanted = [columns.label, *(["split"] if split else [])]
        if columns.image_is_struct:
            wanted.append(f"{columns.image}.path")
        # ParquetFile reads just the leaf "image.path"; read_table would need the pictures too.
        table = pa.concat_tables(
            pq.ParquetFile(path).read(columns=wanted, use_threads=False) for path in paths
        )
        store = ParquetStore(paths, columns.image)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).rstrip(".")
        raise DatasetError(f"{paths[0]} is not a readable parquet file: {reason}.") from error
    rows = np.arange(table.num_rows)
    if split:
        rows = _rows_of_split(table, split, name)
    values = table.column(columns.label).to_pylist()
    names = _names(table, columns if use_paths else None, prefix or paths[0].stem)
    labelled = [row for row in rows if _has_label(values[row], columns.label_names)]
    unlabelled = [row for row in rows if not _has_label(values[row], columns.label_names)]
    reason = "It has no label, or one outside the classes."
    skipped = [Skipped(names[row], reason) for row in unlabelled]
    if not labelled:
        raise DatasetError(
            f"No labelled pictures in {name}: {len(rows)} rows, none with a value in column "
            f"{columns.label!r}."
        )
    labels, classes = _labels([values[row] for row in labelled], columns.label_names)
    return LabelledImages(
        name,
        store,
        [names[row] for row in labelled],
        labels,
        classes,
        skipped,
        positions=np.array(labelled, dtype=np.int64),
    )


def _find_columns(schema: Any, path: Path) -> _Columns:
    found = find_columns(schema)
    if found.image is None or found.label is None:
        lacking = "picture column (bytes)" if found.image is None else "label column"
        raise DatasetError(
            f"{path} has no {lacking}; its columns are {', '.join(schema.names) or 'none'}.",
            f"Name them {_IMAGE_COLUMNS[0]!r} and {_LABEL_COLUMNS[0]!r}.",
        )
    return _Columns(found.image, found.image_is_struct, found.label, found.classes)


def find_columns(schema: Any) -> Columns:
    """The picture and the label column of an Arrow schema, told by name and type, classes by the
    Hugging Face features in it."""
    import pyarrow as pa

    features = _features(schema)
    fields = {field.name: field.type for field in schema}
    pictures = [
        name
        for name, kind in fields.items()
        if pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
    ]
    image = _prefer(pictures, _IMAGE_COLUMNS) or (pictures[0] if pictures else None)
    labels = [
        name
        for name, kind in fields.items()
        if pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
    ]
    tagged = [name for name in labels if features.get(name, {}).get("_type") == "ClassLabel"]
    label = _prefer(tagged, _LABEL_COLUMNS) or _prefer(labels, _LABEL_COLUMNS)
    label = label or (tagged[0] if tagged else None)
    names = features.get(label or "", {}).get("names")
    kind = fields[image] if image is not None else None
    struct = kind is not None and pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    return Columns(image, struct, label, list(names) if isinstance(names, list) else None)


def _features(schema: Any) -> dict[str, Any]:
    """The Hugging Face description of the columns, or nothing where it is absent or odd."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _prefer(columns: Sequence[str], order: Sequence[str]) -> str | None:
    return next((name for name in order if name in columns), None)


def _rows_of_split(table: Any, split: str, name: str) -> Any:
    values = [None if value is None else str(value) for value in table.column("split").to_pylist()]
    rows = np.array([i for i, value in enumerate(values) if value == split], dtype=np.int64)
    if not len(rows):
        raise no_split(name, split, sorted({value for value in values if value}))
    return rows


def _names(table: Any, columns: _Columns | None, prefix: str) -> list[str]:
    if columns and columns.image_is_struct:
        struct = table.column(columns.image).to_pylist()
        paths = [(cell or {}).get("path") for cell in struct]
        if all(paths) and len(set(paths)) == len(paths):
            return [str(path) for path in paths]
    return [f"{prefix}/{row:05d}" for row in range(table.num_rows)]


def _has_label(value: Any, names: Sequence[str] | None) -> bool:
    if isinstance(value, int) and names is not None:
        return 0 <= value < len(names)
    return value is not None and value != ""


def _labels(values: Sequence[Any], names: Sequence[str] | None) -> tuple[Labels, list[str]]:
    if names is not None and all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64), list(names)
    return encode_labels([str(value) for value in values])
