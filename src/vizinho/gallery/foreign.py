"""Rows out of a metadata table: of an export, or of what img2dataset and clip-retrieval write.

Theirs have ``image_path``, often ``caption``, and one column for each other thing that is known:
``key``, ``url``, ``width``, ``sha256`` and so on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vizinho.blobs import image_url
from vizinho.engines import Row
from vizinho.errors import GalleryError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OUR_OWN = ("key", "label", "url")


@dataclass(frozen=True)
class Incoming:
    """A row that is to be taken in, and where its picture is said to be. The row's hash is empty
    where only the picture could tell it."""

    row: Row
    picture: str


def exported(record: Mapping[str, Any]) -> Incoming:
    """A row that `vizinho.gallery.export` wrote. Raises GalleryError."""
    try:
        names = ("key", "url", "hash", "label", "metadata")
        key, url, known, label, metadata = (record[name] for name in names)
        if not _SHA256.fullmatch(known):
            raise ValueError(f"{known[:80]!r} is no content hash")
        row = Row(key, url, known, label, json.loads(metadata))
    except (KeyError, TypeError, ValueError) as error:
        raise GalleryError(
            f"The metadata is not what was exported: {error}.", "Export the gallery again."
        ) from error
    return Incoming(row, str(record.get("image_path") or ""))


def foreign(record: Mapping[str, Any], part: int, position: int) -> Incoming:
    """A row of another program: its key is ``key``, else the path, else where in which part it is;
    what has no place of its own is metadata."""
    picture = _text(record.get("image_path"))
    key = _plain(_text(record.get("key")) or picture) or f"{part}/{position}"
    url = _text(record.get("url"))
    sha256 = _text(record.get("sha256")).lower()
    metadata = {
        name: value
        for name, value in record.items()
        if name not in _OUR_OWN and not name.startswith("__") and _keepable(value)
    }
    row = Row(
        key,
        url if "://" in url else image_url(key),
        sha256 if _SHA256.fullmatch(sha256) else "",
        _text(record.get("label")) or None,
        metadata,
    )
    return Incoming(row, picture)


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _plain(path: str) -> str:
    """A path or an address as a key."""
    parts = path.partition("://")[2] or path
    return "/".join(part for part in parts.split("/") if part not in ("", ".", ".."))


def _keepable(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int | bool) and value != ""
