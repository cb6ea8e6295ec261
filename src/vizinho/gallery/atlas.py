"""Thumbnails for the map: 256 pictures in a JPEG, made when first asked for, kept beside it."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from vizinho.errors import DiskFull, GalleryBusy, GalleryUnreachable, SourceError, VizinhoError
from vizinho.gallery.mapping import TILES
from vizinho.gallery.plane import GalleryMap
from vizinho.gallery.view import GalleryView
from vizinho.images import load_image

#: A multiple of 16, so that none bleeds into the next in the JPEG.
SIDE = 32
COLUMNS = 16
COUNT = COLUMNS * COLUMNS
_QUALITY = 80
_GREY = (128, 128, 128)


def tiles_of(shown: GalleryMap) -> int:
    """How many tiles a map has; the last one may be partly empty."""
    return -(-len(shown.keys) // COUNT)


def tile(gallery: GalleryView, shown: GalleryMap, number: int, folder: Path) -> tuple[bytes, bool]:
    """Tile ``number`` of a map as JPEG: its pictures ``number * COUNT`` and on, row by row; and
    whether it will always look so.

    Such a one is kept in the map's ``folder`` where that can be written. A picture that can't be
    read is grey: for good where it is gone or broken, but not where it was out of reach. Raises
    IndexError where there is no such tile, GalleryError where the gallery can't be read.
    """
    if not 0 <= number < tiles_of(shown):
        raise IndexError(number)
    place = folder / TILES / shown.version / f"{number}.jpg"
    with suppress(OSError):
        return place.read_bytes(), True
    data, lasting = _drawn(gallery, shown.keys[number * COUNT : (number + 1) * COUNT])
    if not lasting:
        return data, False
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{number}.{os.getpid()}")
        try:
            beside.write_bytes(data)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    return data, True


def _drawn(gallery: GalleryView, keys: list[str]) -> tuple[bytes, bool]:
    atlas = Image.new("RGB", (COLUMNS * SIDE, COLUMNS * SIDE), _GREY)
    hosts = {row.key: urlsplit(row.url).netloc for row in gallery.get_many(keys)}
    away: set[str] = set()
    for number, key in enumerate(keys):
        # A bucket out of reach is waited for once, not once for each of its pictures.
        if key not in hosts or hosts[key] in away:
            continue
        try:
            picture = load_image(gallery.image_bytes(key)[0], target=SIDE)
            fitted = ImageOps.fit(picture, (SIDE, SIDE))
            atlas.paste(fitted, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
        except (SourceError, GalleryUnreachable, GalleryBusy, DiskFull):
            away.add(hosts[key])
        except VizinhoError:
            # Gone or broken: the others are to be seen all the same.
            continue
    buffer = io.BytesIO()
    atlas.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue(), not away
