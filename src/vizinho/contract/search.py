"""The two searches over an open gallery, and the checks they share."""

from __future__ import annotations

from collections.abc import Callable

from vizinho.contract.fields import SearchFields
from vizinho.contract.pictures import checked_key, decode_base64
from vizinho.errors import FingerprintMismatch
from vizinho.gallery import Matches
from vizinho.gallery.view import GalleryView

TEN = 10


def thesis_search(gallery: GalleryView, body: bytes, limit: int) -> Matches:
    """The ten pictures nearest to the one in ``body``, base64 text of at most ``limit`` bytes.

    Raises:
        ApiError, ImageError: the body is not base64, too large or no picture.
    """
    return gallery.search(decode_base64(body, limit), k=TEN)


def check_fingerprint(asked: str | None, here: str) -> None:
    """Raises FingerprintMismatch when a client counts on another model than the one ``here``."""
    if asked not in (None, here):
        raise FingerprintMismatch(
            f"This gallery was made with another model ({here[:12]}) than the one asked for.",
            "GET /v1/model tells which; distances of different models can't be compared.",
        )


def search(
    gallery: GalleryView,
    fields: SearchFields,
    data: bytes | None,
    *,
    limit: int,
    fetch: Callable[[str], bytes],
    read: Callable[[str], bytes],
) -> Matches:
    """The pictures nearest to the one in ``data``, or to the one that the fields name.

    Args:
        gallery: what is searched.
        fields: how, and (without ``data``) which picture.
        data: an uploaded picture.
        limit: bytes that ``image_base64`` may decode to.
        fetch: reads ``image_url``, or raises the ApiError that says it is not allowed.
        read: the bytes of a picture of the gallery, by its key.

    Raises:
        ApiError, ImageError, KeyNotFound, GalleryError: the picture can't be had or used.
    """
    k, offset = fields.k, fields.offset
    if data is None:
        if fields.key and fields.crop is None:
            key = checked_key(fields.key)
            return gallery.search_key(key, k, offset=offset, filter=fields.filter)
        if fields.image_base64:
            data = decode_base64(fields.image_base64.encode(), limit)
        elif fields.image_url:
            data = fetch(fields.image_url)
        else:
            data = read(checked_key(str(fields.key)))
    return gallery.search(data, k=k, offset=offset, filter=fields.filter, crop=fields.crop)
