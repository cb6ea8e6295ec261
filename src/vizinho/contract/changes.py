"""What a request wants changed of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vizinho.contract.errors import bad_field
from vizinho.contract.fields import HINT, json_object, require_plain
from vizinho.gallery.records import KEEP, Keep

_KNOWN = ("label", "metadata")


def edit_fields(text: bytes) -> tuple[str | Keep | None, Mapping[str, Any] | Keep]:
    """Label and metadata of a JSON body; KEEP for one that is left out. No label is null, or an
    empty one.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    value = json_object(text)
    for name in value:
        if name not in _KNOWN:
            raise bad_field(name, "Extra inputs are not permitted", HINT)
    if not value:
        raise bad_field("body", "give label, metadata or both", HINT)
    label, metadata = value.get("label", KEEP), value.get("metadata", KEEP)
    if not (label is None or label is KEEP or isinstance(label, str)):
        raise bad_field("label", "Input should be a valid string", HINT)
    if not (metadata is KEEP or isinstance(metadata, dict)):
        raise bad_field("metadata", "Input should be an object", HINT)
    try:
        require_plain(value)
    except (ValueError, RecursionError) as error:
        raise bad_field("body", "this can't be kept as JSON", HINT) from error
    return label or None if isinstance(label, str) else label, metadata
