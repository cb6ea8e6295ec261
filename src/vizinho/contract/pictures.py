"""The picture in a request, and where a picture of the gallery is to be had."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote

from vizinho.contract.errors import ApiError, bad_field, key_not_found, too_large

# Parts of a form.
MAX_FILES, MAX_FIELDS = 64, 32

_DATA_URL = re.compile(rb"\s*data:[^,]{0,200},", re.IGNORECASE)
_SPACE = re.compile(rb"\s+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_HOW = "Send the picture's bytes as base64 text, such as `base64 cat.jpg` prints."


def body_limit(picture: int) -> int:
    """Bytes of a body that may carry a picture of that many: base64, line ends, other fields."""
    return picture * 4 // 3 + picture // 16 + 65_536


def decode_base64(text: bytes, limit: int) -> bytes:
    """The bytes behind base64 text, of at most ``limit`` bytes.

    Takes what people send: a ``data:`` URL, line ends and spaces, the URL-safe alphabet, padding
    left off.

    Raises:
        ApiError: 400 when there is nothing or it is not base64, 413 when it is too much.
    """
    prefix = _DATA_URL.match(text)
    bare = _SPACE.sub(b"", text[prefix.end() :] if prefix else text).translate(_URL_SAFE)
    bare = bare.rstrip(b"=")
    if not bare:
        raise ApiError(400, "empty_body", "There is no picture in the request.", _HOW)
    if len(bare) * 3 // 4 > limit:
        raise too_large(limit)
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "not_base64", "The body is not base64 text.", _HOW) from error


def check_upload(size: int | None, limit: int) -> None:
    """Check a form's file named ``image``, of so many bytes; None when there is none.

    Raises:
        ApiError: 422 when it is missing, 400 when it is empty, 413 when too large.
    """
    if size is None:
        raise bad_field("image", "the form has no file of that name", "Send the picture in it.")
    if size > limit:
        raise too_large(limit)
    if size == 0:
        raise ApiError(400, "unreadable_image", "The picture is an empty file.")


def image_path(key: str, url: str = "") -> str:
    """Where a picture is to be had: a path on this server, or ``url`` where that is elsewhere.

    A path and not a whole address, so that the page works behind any proxy.
    """
    if url.startswith(("http://", "https://")):
        return url
    return "/images/" + quote(key, safe="/")


def checked_key(key: str) -> str:
    """A key that may be looked up.

    Raises:
        ApiError: 404; no picture is ever stored under such a key.
    """
    if not key or any(ord(letter) < 32 for letter in key):
        raise key_not_found()
    return key
