"""The folder in which embeddings leave a gallery and come into one, as clip-retrieval lays it out.

::

    photos-export/
    ├── export.json                   which model, how many rows, what each part must hold
    ├── img_emb/img_emb_0.npy         float32 [N, D]
    ├── metadata/metadata_0.parquet   N rows: image_path, caption, key, label, hash, url, metadata
    ├── model/                        the model bundle
    └── images/                       the pictures, if they were asked for

`img_emb` and `metadata` are all that clip-retrieval (https://github.com/rom1504/clip-retrieval)
itself writes and reads. An export under way has ``export.partial.json`` in place of
``export.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import explain_os_error
from vizinho.engines import Row
from vizinho.errors import GalleryError

FORMAT_VERSION = 1
ABOUT, PARTIAL = "export.json", "export.partial.json"
MODEL, IMAGES = "model", "images"
COLUMNS = ("image_path", "caption", "key", "label", "hash", "url", "metadata")
PAGE = 1000


@dataclass(frozen=True)
class Part:
    """One pair of files: its rows, and SHA-256 (hex) over them and their vectors."""

    rows: int
    sha256: str


@dataclass
class ExportAbout:
    """What ``export.json`` says. ``pictures``: whether their bytes are in ``images/``."""

    model: str
    fingerprint: str
    dimension: int
    runtime: str
    precision: str
    part_rows: int
    pictures: bool
    parts: list[Part] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    def write(self, file: Path) -> None:
        """Write it as ``file``, wholly or not at all. Raises GalleryError."""
        fresh = file.with_name(f".{file.name}.partial")
        try:
            fresh.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
            fresh.replace(file)
        except OSError as error:
            raise explain_os_error(error, str(file)) from error


def read_about(file: Path) -> ExportAbout | None:
    """The description in ``file``, or None when there is none. Raises GalleryError."""
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if data["format_version"] != FORMAT_VERSION:
            raise GalleryError(
                f"{file} has format {data['format_version']}; this Vizinho reads {FORMAT_VERSION}.",
                "Use the Vizinho that made it.",
            )
        return ExportAbout(**{**data, "parts": [Part(**part) for part in data["parts"]]})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise explain_os_error(error, str(file)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise GalleryError(f"{file} is damaged: {error}.", "Export the gallery again.") from error


def embeddings_file(folder: Path, number: int) -> Path:
    """Where the vectors of a part are."""
    return folder / "img_emb" / f"img_emb_{number}.npy"


def metadata_file(folder: Path, number: int) -> Path:
    """Where the rows of a part are."""
    return folder / "metadata" / f"metadata_{number}.parquet"


class Digest:
    """SHA-256 over rows and their vectors, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """Take in rows and their vectors [N, D]."""
        for row in rows:
            fields = [row.key, row.url, row.hash, row.label, row.metadata]
            self._hash.update(json.dumps(fields, sort_keys=True).encode() + b"\n")
        self._hash.update(np.ascontiguousarray(vectors, "<f4").tobytes())

    def hex(self) -> str:
        """The digest of all that was taken in."""
        return self._hash.hexdigest()
