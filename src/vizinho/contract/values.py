"""One value of a request at a time: read, checked, and complained of by its name.

The words of the complaints are pydantic's, which the server's query parameters use too.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

from vizinho.contract.errors import DOCS, ApiError, bad_field

HINT = f"The fields are described {DOCS}."


class Range(NamedTuple):
    """Whole numbers that a field may have, both ends included."""

    least: int
    most: int


_SHARE = Range(0, 1)
_BEYOND = 2**53


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


def form_texts(items: Iterable[tuple[str, object]], as_json: Container[str]) -> dict[str, Any]:
    """The fields of a form beside its files named ``image``: text, or what JSON text says.

    Raises:
        ApiError: 422, naming the field.
    """
    fields: dict[str, Any] = {}
    for name, value in items:
        if name == "image":
            continue
        if not isinstance(value, str):
            raise bad_field(name, "this is a file where text was expected")
        fields[name] = parse_json(name, value) if name in as_json else value
    return fields


def parse_json(name: str, text: str) -> Any:
    """JSON in a text field; 422 when it is none."""
    try:
        value = json.loads(text)
        _require_plain(value)
        return value
    except (ValueError, RecursionError) as error:
        raise bad_field(name, "this is not JSON", 'Such as {"label": "cat"}.') from error


def only(value: Iterable[str], known: Container[str], within: str = "") -> None:
    """422 for a field that is not ``known``."""
    for name in value:
        if name not in known:
            raise bad_field(within + name, "Extra inputs are not permitted", HINT)


def plain(value: Any) -> None:
    """422 for what could not be written as JSON again."""
    try:
        _require_plain(value)
    except (ValueError, RecursionError) as error:
        raise bad_field("body", "this can't be kept as JSON", HINT) from error


def _require_plain(value: Any) -> None:
    """Raises ValueError or RecursionError for what Python reads as JSON and no other program would:
    NaN, half surrogate pairs."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def required_text(name: str, value: object) -> str:
    """Text; 422 when it is none."""
    if not isinstance(value, str):
        raise bad_field(name, "Input should be a valid string", HINT)
    return value


def optional_text(name: str, value: object) -> str | None:
    """Text or nothing; 422 for anything else."""
    if not (value is None or isinstance(value, str)):
        raise bad_field(name, "Input should be a valid string", HINT)
    spelt(name, value)
    return value


def spelt(name: str, value: object) -> None:
    """422 for half a surrogate pair, which JSON can spell and nothing after it can keep."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise bad_field(name, "Input should be a valid string", HINT) from error


def flag(name: str, value: object) -> bool:
    """Yes or no, also as text; 422 for anything else."""
    flags = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        value = flags.get(value.lower())
    if not isinstance(value, bool):
        raise bad_field(name, "Input should be a valid boolean", HINT)
    return value


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
