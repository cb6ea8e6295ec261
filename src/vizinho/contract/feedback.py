"""What a request says of a result: right, wrong, or nothing any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from vizinho.contract.errors import ApiError, bad_field
from vizinho.contract.fields import crop_of
from vizinho.contract.pictures import checked_key, decode_base64
from vizinho.contract.values import HINT, json_object, only, plain, required_text
from vizinho.gallery.feedback import Verdict
from vizinho.images import Crop

_WAYS = ("key", "image_base64", "hash")


@dataclass(frozen=True)
class MarkFields:
    """``query`` is a key or a content hash (text) or a picture (bytes); ``verdict`` None takes a
    mark back."""

    query: str | bytes
    crop: Crop | None
    key: str
    verdict: Verdict | None


def mark_fields(text: bytes, limit: int) -> MarkFields:
    """A JSON body whose picture may have ``limit`` bytes. There may be megabytes of it.

    Raises:
        ApiError: 400 when it is not JSON or base64, 413 for too much, 422 naming a wrong field.
    """
    value = json_object(text)
    only(value, ("query", "key", "verdict"))
    plain(value)
    query = value.get("query")
    if not isinstance(query, dict):
        raise bad_field("query", "Input should be an object", HINT)
    only(query, (*_WAYS, "crop"), "query.")
    given = [name for name in _WAYS if query.get(name) is not None]
    if len(given) != 1:
        raise bad_field("query", f"give exactly one of {', '.join(_WAYS)}", HINT)
    asked: str | bytes = required_text(f"query.{given[0]}", query[given[0]])
    if given[0] == "image_base64":
        asked = decode_base64(str(asked).encode(), limit)
    else:
        asked = checked_key(str(asked))
    if "verdict" not in value or value["verdict"] not in ("right", "wrong", None):
        raise bad_field("verdict", "Input should be 'right', 'wrong' or null", HINT)
    crop = crop_of(query.get("crop"), "query.crop")
    key = checked_key(required_text("key", value.get("key")))
    return MarkFields(asked, crop, key, cast("Verdict | None", value["verdict"]))


def not_offered(what: str, hint: str) -> ApiError:
    """A 409 for what this gallery does not have."""
    return ApiError(409, "not_offered", f"This gallery has no {what}.", hint)
