"""Data sets that are folders: root/class/image.jpg, or root/split/class/image.jpg."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import numpy as np

from vizinho.datasets.base import FileStore, LabelledImages, Skipped, no_split
from vizinho.datasets.parquet import load_parquet
from vizinho.errors import DatasetError
from vizinho.images import is_image_name

_SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev", "eval"})
_LAYOUT = "Each class is a folder of its pictures: root/class/image.jpg."


def load_folder(root: Path, name: str, *, split: str | None = None) -> LabelledImages:
    """Pictures of ``root/class/**/image``; only paths are read, the pictures when they are used.

    Classes are the first level of folders, sorted; hidden files are ignored, other files that are
    no pictures by name are listed as skipped. With ``split`` the root is ``root/split``. A folder
    of parquet files (``split-00000-of-00001.parquet``, also in ``data/``) is read as parquet.

    Raises `DatasetError`.
    """
    if parquet := find_parquet(root, split):
        return load_parquet(parquet, name)
    folders = _visible_folders(root)
    if split:
        if split not in {folder.name for folder in folders}:
            raise no_split(name, split, [folder.name for folder in folders])
        root = root / split
        folders = _visible_folders(root)
    elif folders and all(folder.name.lower() in _SPLITS for folder in folders):
        there = ", ".join(folder.name for folder in folders)
        raise DatasetError(
            f"{root} holds splits ({there}), not classes.",
            f"Say which one, for example {root}:{folders[0].name}.",
        )
    loose = [path for path in sorted(root.iterdir()) if path.is_file() and _visible(path.name)]
    skipped = [Skipped(path.name, "It lies outside the class folders.") for path in loose]
    paths: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found, left_out = _pictures(folder, root)
        if not found:
            skipped.append(Skipped(f"{folder.name}/", "The class folder holds no pictures."))
        skipped += left_out
        paths += found
        labels += [label] * len(found)
    if not paths:
        pictures = sum(is_image_name(path) for path in loose)
        raise DatasetError(
            f"No labelled pictures in {root}: looked for {root}/<class>/<image> and for parquet "
            f"files, found {len(folders)} class folders without pictures and {pictures} pictures "
            "outside of any.",
            _LAYOUT,
        )
    names = [path.relative_to(root).as_posix() for path in paths]
    classes = [folder.name for folder in folders]
    return LabelledImages(
        name, FileStore(paths), names, np.array(labels, dtype=np.int64), classes, skipped
    )


def find_parquet(root: Path, split: str | None) -> list[Path]:
    """Parquet files of a Hugging Face data set in ``root``; of ``split`` where one is given."""
    name = glob.escape(split) if split else "*"
    for folder in (root, root / "data", root / "plain_text"):
        found = sorted({*folder.glob(f"{name}-*.parquet"), *folder.glob(f"{name}.parquet")})
        if found:
            splits = {path.stem.partition("-")[0] for path in found}
            if split is None and len(splits) > 1 and splits & _SPLITS:
                raise DatasetError(
                    f"{folder} holds the splits {', '.join(sorted(splits))}.",
                    f"Say which one, for example {root}:{min(splits)}.",
                )
            return found
    return []


def _pictures(folder: Path, root: Path) -> tuple[list[Path], list[Skipped]]:
    found: list[Path] = []
    skipped: list[Skipped] = []

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(root).as_posix()
        skipped.append(Skipped(f"{name}/", f"The folder can't be read: {error.strerror}."))

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if _visible(name))
        for file in sorted(filter(_visible, files)):
            path = Path(parent, file)
            reason = _fault(path)
            if reason:
                skipped.append(Skipped(path.relative_to(root).as_posix(), reason))
            else:
                found.append(path)
    return found, skipped


def _fault(path: Path) -> str:
    if not is_image_name(path):
        return f"It is no picture by its name ({path.suffix or 'no suffix'})."
    try:
        return "" if path.stat().st_size else "The file is empty (0 bytes)."
    except OSError as error:
        return f"It can't be opened: {error.strerror}."


def _visible_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and _visible(path.name))


def _visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX")) and name not in ("Thumbs.db", "desktop.ini")
