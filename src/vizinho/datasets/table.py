"""Data sets listed in a CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from vizinho.datasets.base import FileStore, LabelledImages, Skipped, encode_labels, no_split
from vizinho.errors import DatasetError


def load_csv(path: Path, name: str, *, split: str | None = None) -> LabelledImages:
    """Pictures listed in a CSV with the columns path, label and, if wanted, split.

    Paths are relative to the CSV. Raises `DatasetError`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [column.strip().lower() for column in reader.fieldnames or []]
            reader.fieldnames = header
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a readable CSV file: {error}.") from error
    needed = {"path", "label", *(["split"] if split else [])}
    if missing := sorted(needed - set(header)):
        raise DatasetError(
            f"{path} lacks the column {' and '.join(missing)}; "
            f"it has {', '.join(header) or 'none'}.",
            "Its first line must be: path,label or path,label,split.",
        )
    if split:
        there = sorted({(row["split"] or "").strip() for row in rows} - {""})
        rows = [row for row in rows if (row["split"] or "").strip() == split]
        if not rows:
            raise no_split(name, split, there)
    files: dict[str, Path] = {}
    values: list[str] = []
    skipped: list[Skipped] = []
    for row in rows:
        key, label = (row["path"] or "").strip(), (row["label"] or "").strip()
        file_path = path.parent / key
        if reason := _csv_fault(key, label, file_path, files):
            skipped.append(Skipped(key or "(no path)", reason))
            continue
        files[key] = file_path
        values.append(label)
    if not files:
        first = f" First: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise DatasetError(
            f"No labelled pictures in {path}: "
            f"{len(rows)} rows, none with a label and a file.{first}",
            "Paths are relative to the CSV.",
        )
    labels, classes = encode_labels(values)
    return LabelledImages(
        name, FileStore(list(files.values())), list(files), labels, classes, skipped
    )


def _csv_fault(key: str, label: str, path: Path, seen: dict[str, Path]) -> str:
    if not key:
        return "The row has no path."
    if not label:
        return "It has no label."
    if key in seen:
        return "It is listed twice; the first row counts."
    try:
        if not path.is_file():
            return f"There is no file {path}."
        return "" if path.stat().st_size else "The file is empty (0 bytes)."
    except OSError as error:
        return f"It can't be opened: {error.strerror}."
