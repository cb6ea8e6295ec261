"""The fields of a request, checked: numbers in their ranges, one picture, nothing unknown.

The words of the complaints are pydantic's, which the server's query parameters use too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vizinho.contract.errors import DOCS, ApiError, bad_field
from vizinho.contract.pictures import MAX_FILES
from vizinho.engines.filters import where
from vizinho.errors import GalleryError, SettingsError
from vizinho.images import Crop

HINT = f"The fields are described {DOCS}."


class Range(NamedTuple):
    """Whole numbers that a field may have, both ends included."""

    least: int
    most: int


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
_SHARE, _WEIGHT, _FILES = Range(0, 1), Range(-1, 1), Range(0, MAX_FILES - 1)
_BEYOND = 2**53
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
    fields: dict[str, Any] = {}
    for name, value in items:
        if name == "image":
            continue
        if not isinstance(value, str):
            raise bad_field(name, "this is a file where text was expected")
        fields[name] = parse_json(name, value) if name in _AS_JSON else value
    return _checked(fields, _SEARCH, files=True)


def json_fields(text: bytes) -> SearchFields:
    """A JSON search. There may be megabytes of it: not for an event loop.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    fields = _checked(json_object(text), _SEARCH + PICTURES)
    _exactly_one("body", fields, (*PICTURES, "examples"))
    return fields


def json_object(text: bytes) -> dict[str, Any]:
    """A body that must be one JSON object.

    Raises:
        ApiError: 400 when it is not JSON, 422 when it is no object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "not_json", "The body is not JSON.", HINT) from error
    if not isinstance(value, dict):
        raise bad_field("body", "Input should be an object", HINT)
    return value


def require_plain(value: Any) -> None:
    """Raises ValueError or RecursionError for what Python reads as JSON and no other program would:
    NaN, half surrogate pairs."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def parse_json(name: str, text: str) -> Any:
    """JSON in a text field; 422 when it is none."""
    try:
        value = json.loads(text)
        require_plain(value)
        return value
    except (ValueError, RecursionError) as error:
        raise bad_field(name, "this is not JSON", 'Such as {"label": "cat"}.') from error


def whole(name: str, value: object, allowed: Range) -> int:
    """A whole number, also as text; 422 when it is none or out of its range."""
    if isinstance(value, str):
        try:
            number = int(value)
        except ValueError as error:
            wrong = "Input should be a valid integer, unable to parse string as an integer"
            raise bad_field(name, wrong, HINT) from error
    elif isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    elif isinstance(value, float):
        wrong = "Input should be a valid integer, got a number with a fractional part"
        raise bad_field(name, wrong, HINT)
    else:
        raise bad_field(name, "Input should be a valid integer", HINT)
    _in_range(name, number, allowed)
    return number


def _checked(
    values: Mapping[str, Any], known: tuple[str, ...], *, files: bool = False
) -> SearchFields:
    fields = SearchFields(
        k=whole("k", values.get("k", DEFAULT_K), K),
        offset=whole("offset", values.get("offset", 0), OFFSET),
        filter=_filter(values.get("filter")),
        crop=crop_of(values.get("crop")),
        kinds=_flag("kinds", values.get("kinds", False)),
        examples=_examples(values.get("examples"), files),
        **{name: _text(name, values.get(name)) for name in ("fingerprint", *PICTURES)},
    )
    _only_known(values, known)
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
        **{name: _text(f"{at}.{name}", value.get(name)) for name in PICTURES},
    )
    _only_known(value, (*_EXAMPLE, *ways), f"{at}.")
    _exactly_one(at, fields, ways)
    return fields


def _exactly_one(at: str, fields: object, ways: tuple[str, ...]) -> None:
    # File number 0 is one; empty text is none.
    given = [name for name in ways if getattr(fields, name) not in (None, "", ())]
    if len(given) != 1:
        named = " and ".join([", ".join(ways[:-1]), ways[-1]])
        have = " and ".join(given) or "none"
        raise bad_field(at, f"give exactly one of {named} (here: {have})", HINT)


def _only_known(values: Mapping[str, Any], known: Iterable[str], within: str = "") -> None:
    for name in values:
        if name not in known:
            raise bad_field(within + name, "Extra inputs are not permitted", HINT)


def _text(name: str, value: object) -> str | None:
    if not (value is None or isinstance(value, str)):
        raise bad_field(name, "Input should be a valid string", HINT)
    _unicode(name, value)
    return value


def _unicode(name: str, value: object) -> None:
    """422 for half a surrogate pair, which JSON can spell and nothing after it can keep."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise bad_field(name, "Input should be a valid string", HINT) from error


def _filter(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_field("filter", "Input should be an object", HINT)
    try:
        where(value)
    except GalleryError as error:
        raise bad_field("filter", error.message, HINT) from error
    _unicode("filter", value)
    return value


def crop_of(value: object, at: str = "crop") -> Crop | None:
    """Part of a picture, from its sides in JSON; 422 naming the field ``at`` and the side."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_field(at, "Input should be an object", HINT)
    sides = {side: number(f"{at}.{side}", value.get(side, end)) for side, end in _SIDES.items()}
    _only_known(value, _SIDES, f"{at}.")
    try:
        return Crop(**sides)
    except SettingsError as error:
        raise bad_field(at, error.message, error.hint) from error


def _flag(name: str, value: object) -> bool:
    flags = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        value = flags.get(value.lower())
    if not isinstance(value, bool):
        raise bad_field(name, "Input should be a valid boolean", HINT)
    return value


def number(name: str, value: object, allowed: Range = _SHARE) -> float:
    """A number, also as text; 422 when it is none or out of its range."""
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError as error:
            wrong = "Input should be a valid number, unable to parse string as a number"
            raise bad_field(name, wrong, HINT) from error
    elif isinstance(value, int | float):
        # A whole number may be too large for a float; NaN comes out as too small.
        found = float(max(-_BEYOND, min(value, _BEYOND)))
    else:
        raise bad_field(name, "Input should be a valid number", HINT)
    _in_range(name, found, allowed)
    return found


def _in_range(name: str, number: float, allowed: Range) -> None:
    # Written so that NaN, which compares with nothing, is outside.
    if not number >= allowed.least:
        wrong = f"Input should be greater than or equal to {allowed.least}"
        raise bad_field(name, wrong, HINT)
    if number > allowed.most:
        raise bad_field(name, f"Input should be less than or equal to {allowed.most}", HINT)
