"""The fields of a search, checked: numbers in their ranges, one picture, nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vizinho.contract.errors import bad_field
from vizinho.contract.pictures import MAX_FILES
from vizinho.contract.values import (
    HINT,
    Range,
    flag,
    form_texts,
    json_object,
    number,
    only,
    optional_text,
    spelt,
    whole,
)
from vizinho.engines.filters import where
from vizinho.errors import GalleryError, SettingsError
from vizinho.images import Crop

K = Range(1, 100)
OFFSET = Range(0, 10_000)
LIST_OFFSET = Range(0, 2**53)
LIST_LIMIT = Range(1, 200)
SIZE = Range(16, 2048)
LABELS_LIMIT = Range(1, 10_000)
DEFAULT_K, DEFAULT_LIST_LIMIT, DEFAULT_LABELS_LIMIT = 10, 50, 1000

PICTURES = ("image_base64", "image_url", "key")
EXAMPLES = Range(1, 8)
_SEARCH = ("k", "offset", "filter", "crop", "fingerprint", "kinds", "examples")
_EXAMPLE = ("weight", "crop")
_AS_JSON = ("filter", "crop", "examples")
_WEIGHT, _FILES = Range(-1, 1), Range(0, MAX_FILES - 1)
_SIDES = {"top": 0.0, "left": 0.0, "right": 1.0, "bottom": 1.0}


@dataclass(frozen=True, kw_only=True)
class ExampleFields:
    """One of several pictures to search with: an uploaded file by its number, or as in JSON."""

    weight: float = 1.0
    crop: Crop | None = None
    image: int | None = None
    image_base64: str | None = None
    image_url: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class SearchFields:
    """How to search, and (in JSON) the picture in one of three ways, or several as examples."""

    k: int = DEFAULT_K
    offset: int = 0
    filter: dict[str, Any] | None = None
    crop: Crop | None = None
    fingerprint: str | None = None
    kinds: bool = False
    examples: tuple[ExampleFields, ...] = ()
    image_base64: str | None = None
    image_url: str | None = None
    key: str | None = None


def form_fields(items: Iterable[tuple[str, object]]) -> SearchFields:
    """The fields of a form beside its files: ``filter``, ``crop`` and ``examples`` are JSON text,
    the rest plain.

    Raises:
        ApiError: 422, naming the field.
    """
    return _checked(form_texts(items, _AS_JSON), _SEARCH, files=True)


def json_fields(text: bytes) -> SearchFields:
    """A JSON search. There may be megabytes of it: not for an event loop.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    fields = _checked(json_object(text), _SEARCH + PICTURES)
    _exactly_one("body", fields, (*PICTURES, "examples"))
    return fields


def _checked(
    values: Mapping[str, Any], known: tuple[str, ...], *, files: bool = False
) -> SearchFields:
    fields = SearchFields(
        k=whole("k", values.get("k", DEFAULT_K), K),
        offset=whole("offset", values.get("offset", 0), OFFSET),
        filter=_filter(values.get("filter")),
        crop=crop_of(values.get("crop")),
        kinds=flag("kinds", values.get("kinds", False)),
        examples=_examples(values.get("examples"), files),
        **{name: optional_text(name, values.get(name)) for name in ("fingerprint", *PICTURES)},
    )
    only(values, known)
    if fields.examples and fields.crop:
        raise bad_field("crop", "with examples, each has its own", HINT)
    return fields


def _examples(value: object, files: bool) -> tuple[ExampleFields, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_field("examples", "Input should be an array", HINT)
    if not EXAMPLES.least <= len(value) <= EXAMPLES.most:
        wrong = f"give {EXAMPLES.least} to {EXAMPLES.most} of them (here: {len(value)})"
        raise bad_field("examples", wrong, HINT)
    found = tuple(_example(f"examples[{n}]", each, files) for n, each in enumerate(value))
    if not any(example.weight > 0 for example in found):
        raise bad_field("examples", "at least one weight should be greater than 0", HINT)
    return found


def _example(at: str, value: object, files: bool) -> ExampleFields:
    if not isinstance(value, dict):
        raise bad_field(at, "Input should be an object", HINT)
    ways = ("image", *PICTURES) if files else PICTURES
    image = value.get("image") if files else None
    weight = number(f"{at}.weight", value.get("weight", 1), _WEIGHT)
    if weight == 0:
        raise bad_field(f"{at}.weight", "Input should not be 0", HINT)
    fields = ExampleFields(
        weight=weight,
        crop=crop_of(value.get("crop"), f"{at}.crop"),
        image=None if image is None else whole(f"{at}.image", image, _FILES),
        **{name: optional_text(f"{at}.{name}", value.get(name)) for name in PICTURES},
    )
    only(value, (*_EXAMPLE, *ways), f"{at}.")
    _exactly_one(at, fields, ways)
    return fields


def _exactly_one(at: str, fields: object, ways: tuple[str, ...]) -> None:
    # File number 0 is one; empty text is none.
    given = [name for name in ways if getattr(fields, name) not in (None, "", ())]
    if len(given) != 1:
        named = " and ".join([", ".join(ways[:-1]), ways[-1]])
        have = " and ".join(given) or "none"
        raise bad_field(at, f"give exactly one of {named} (here: {have})", HINT)


def _filter(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_field("filter", "Input should be an object", HINT)
    try:
        where(value)
    except GalleryError as error:
        raise bad_field("filter", error.message, HINT) from error
    spelt("filter", value)
    return value


def crop_of(value: object, at: str = "crop") -> Crop | None:
    """Part of a picture, from its sides in JSON; 422 naming the field ``at`` and the side."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_field(at, "Input should be an object", HINT)
    sides = {side: number(f"{at}.{side}", value.get(side, end)) for side, end in _SIDES.items()}
    only(value, _SIDES, f"{at}.")
    try:
        return Crop(**sides)
    except SettingsError as error:
        raise bad_field(at, error.message, error.hint) from error
