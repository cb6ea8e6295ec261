"""A gallery's folder: what lies where, how it comes to be at once, and who may write to it.

::

    photos.vizinho/
    ├── gallery.json      format, model and fingerprint; written once
    ├── catalogue.sqlite  rows and vectors
    ├── folder.sqlite     only with `sync_folder`: the files as last seen
    ├── model/            the model bundle, so that the gallery stands alone
    ├── images/           bytes of pictures that were added, by content hash
    ├── feedback.sqlite   only once a result was marked: `vizinho.gallery.feedback`
    ├── perceptual.sqlite and map/ are derived: `vizinho.gallery.looks`, `vizinho.gallery.plane`
    └── lock              held while writing; names the writer

After `vizinho migrate` catalogue, index, model and map are in a folder ``by-MODEL-...`` of their
own, which ``gallery.json`` names: replacing that file is what puts another model in place, at once.

A packed gallery (`vizinho.gallery.pack`) has ``gallery.json``, ``catalogue.sqlite`` with the rows
only, ``vectors.npy`` and ``model/``; nothing in it is ever written again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

from vizinho.blobs import explain_os_error
from vizinho.errors import GalleryDamaged, GalleryError, GalleryExists, GalleryNotFound
from vizinho.gallery.lock import LOCK as LOCK
from vizinho.gallery.lock import still as still
from vizinho.gallery.lock import writing as writing

FORMAT_VERSION = 1
ABOUT = "gallery.json"
CATALOGUE = "catalogue.sqlite"
FOLDER = "folder.sqlite"
MODEL = "model"
IMAGES = "images"
MAP = "map"
PART_BYTES = 8 * 1024 * 1024


class PackedFile(TypedDict):
    """Size of a file, and SHA-256 (hex) of each of its parts of ``PART_BYTES``: large files are
    fetched in such parts, and each can be checked as it arrives."""

    bytes: int
    sha256: list[str]


@dataclass(frozen=True)
class About:
    """What ``gallery.json`` says: which model, run how, made the vectors."""

    model: str
    fingerprint: str
    dimension: int
    engine: str
    runtime: str
    precision: str
    format_version: int = FORMAT_VERSION
    digest: str | None = None
    """Of a packed gallery: SHA-256 (hex) over all that decides its answers."""
    files: dict[str, PackedFile] | None = None
    """Of a packed gallery: its other files by relative path."""
    home: str | None = None
    """Of a migrated gallery: the folder in it where catalogue, index and model are, in Milvus the
    collection."""


def about_text(about: About) -> str:
    """The text of ``gallery.json``."""
    data = {name: value for name, value in asdict(about).items() if value is not None}
    return json.dumps(data, indent=2) + "\n"


def write_about(folder: Path, about: About) -> None:
    """Write ``gallery.json`` into a gallery that is being built."""
    (folder / ABOUT).write_text(about_text(about), encoding="utf-8")


def replace_about(folder: Path, about: About) -> None:
    """Put another ``gallery.json`` in the place of a gallery's, at once and on disk.

    What ``about`` names must be complete: from here on this is the gallery.
    """
    fresh = folder / f"{ABOUT}.new"
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(about_text(about))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / ABOUT)
    except OSError as error:
        raise explain_os_error(error, str(folder / ABOUT)) from error


def home(folder: Path, about: About) -> Path:
    """Where catalogue, index and model of a gallery are: its folder, or one in it once it was
    migrated."""
    return folder / about.home if about.home else folder


def is_gallery(path: Path) -> bool:
    """Whether ``path`` is a gallery's folder."""
    return (path / ABOUT).is_file()


def read_about(path: Path) -> About:
    """What a gallery says of itself. Raises GalleryNotFound or GalleryDamaged."""
    hint = "Make one with `vizinho index FOLDER`."
    try:
        text = (path / ABOUT).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not a gallery" if path.exists() else "does not exist"
        raise GalleryNotFound(f"{path} {what}.", hint) from error
    except OSError as error:
        raise GalleryError(f"{path / ABOUT} can't be read: {error.strerror}.") from error
    return parse_about(text, path)


def parse_about(text: str, path: Path | str) -> About:
    """What the text of the ``gallery.json`` of ``path`` says. Raises GalleryDamaged, and
    GalleryError for the format of another version."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data["format_version"] != FORMAT_VERSION:
            raise GalleryError(
                f"{path} has format {data['format_version']}; this Vizinho reads {FORMAT_VERSION}.",
                "Index the pictures again, or use the Vizinho that made it.",
            )
        return About(**data)
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryDamaged(
            f"{ABOUT} of {path} is damaged: {error}.", "`vizinho doctor --fix` mends what it can."
        ) from error


def blob_key(content_hash: str) -> str:
    """Where the bytes of that hash lie under ``images/``: never overwritten by other bytes, so a
    kill between writing bytes and row can't leave one without the other."""
    return f"{content_hash[:2]}/{content_hash}"


def build(path: Path, fill: Callable[[Path], None], *, overwrite: bool) -> None:
    """Make the folder ``path`` at once: ``fill`` writes into one beside it, which is then renamed.

    Raises GalleryExists unless ``overwrite``, and GalleryError when ``path`` is something that is
    no gallery (never overwritten) or the disk refuses.
    """
    if path.exists() or path.is_symlink():
        if not is_gallery(path) and not (path.is_dir() and not any(path.iterdir())):
            raise GalleryError(f"{path} exists and is not a gallery.", "Choose another place.")
        if is_gallery(path) and not overwrite:
            raise GalleryExists(f"{path} is a gallery already.", "Open it, or overwrite it.")
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        fresh.mkdir()
        fill(fresh)
        if is_gallery(path):
            with writing(path, threading.Lock()):
                path.rename(old)
        fresh.rename(path)
    except OSError as error:
        if is_gallery(path):
            raise GalleryExists(f"{path} was just made by another process.") from error
        raise explain_os_error(error, str(path)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what a killed `build` of the same gallery left behind."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.(new|old)")
    for sibling in path.parent.iterdir():
        match = pattern.fullmatch(sibling.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(sibling, ignore_errors=True)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
