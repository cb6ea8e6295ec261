"""What a request wants changed of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vizinho.contract.errors import bad_field
from vizinho.contract.values import HINT, json_object, only, plain
from vizinho.gallery.records import KEEP, Keep

_KNOWN = ("label", "metadata")
MANY = 1000
"""Keys in one request: one batch of the gallery, which is changed wholly or not at all."""


def edit_fields(text: bytes) -> tuple[str | Keep | None, Mapping[str, Any] | Keep]:
    """Label and metadata of a JSON body; KEEP for one that is left out. No label is null, or an
    empty one.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    value = json_object(text)
    only(value, _KNOWN)
    if not value:
        raise bad_field("body", "give label, metadata or both", HINT)
    label, metadata = value.get("label", KEEP), value.get("metadata", KEEP)
    if not (label is None or label is KEEP or isinstance(label, str)):
        raise bad_field("label", "Input should be a valid string", HINT)
    if not (metadata is KEEP or isinstance(metadata, dict)):
        raise bad_field("metadata", "Input should be an object", HINT)
    plain(value)
    return label or None if isinstance(label, str) else label, metadata


def removal_fields(text: bytes) -> list[str]:
    """The keys of a JSON body.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    value = json_object(text)
    only(value, ("keys",))
    return _keys(value)


def label_fields(text: bytes) -> tuple[list[str], str | None]:
    """Keys and label of a JSON body; raises as `removal_fields`."""
    value = json_object(text)
    only(value, ("keys", "label"))
    label = value.get("label", KEEP)
    if not (label is None or isinstance(label, str)):
        raise bad_field("label", "give a text, or null to take labels away", HINT)
    return _keys(value), label or None


def _keys(value: Mapping[str, Any]) -> list[str]:
    keys = value.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise bad_field("keys", "Input should be a list of texts", HINT)
    if not 1 <= len(keys) <= MANY:
        raise bad_field("keys", f"give 1 to {MANY} of them", HINT)
    plain(value)
    return keys
