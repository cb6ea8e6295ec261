"""From a request's body to the picture in it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from vizinho.serve.errors import ApiError, bad_field, too_large, validation_error
from vizinho.serve.schemas import SearchBody, SearchFields

_DATA_URL = re.compile(rb"\s*data:[^,]{0,200},", re.IGNORECASE)
_SPACE = re.compile(rb"\s+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")

MAX_FILES, MAX_FIELDS = 64, 32

Fields = TypeVar("Fields", bound=SearchFields)


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


_HOW = "Send the picture's bytes as base64 text, such as `base64 cat.jpg` prints."


@asynccontextmanager
async def open_form(request: Request) -> AsyncIterator[FormData]:
    """A multipart body; its temporary files go with the ``with`` block.

    Raises:
        ApiError: 400 when it can't be parsed, 413 when it is too large.
    """
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS)
    except HTTPException as error:
        raise ApiError(400, "bad_form", f"The form can't be read: {error.detail}") from error
    try:
        yield form
    finally:
        await form.close()


async def read_upload(value: UploadFile | str | None, limit: int) -> bytes:
    """The bytes of a form's file field named ``image``.

    Raises:
        ApiError: 422 when it is missing or no file, 400 when it is empty, 413 when too large.
    """
    if not isinstance(value, UploadFile):
        raise bad_field("image", "the form has no file of that name", "Send the picture in it.")
    if value.size is not None and value.size > limit:
        raise too_large(limit)
    data = await value.read()
    if not data:
        raise ApiError(400, "unreadable_image", "The picture is an empty file.")
    return data


def form_fields(form: FormData) -> SearchFields:
    """The fields beside the picture: ``filter`` and ``crop`` are JSON text, the rest plain.

    Raises:
        ApiError: 422, naming the field.
    """
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == "image":
            continue
        if not isinstance(value, str):
            raise bad_field(name, "this is a file where text was expected")
        fields[name] = parse_json(name, value) if name in ("filter", "crop") else value
    return validated(SearchFields, fields)


def parse_json(name: str, text: str) -> Any:
    """JSON in a text field; 422 when it is none."""
    try:
        value = json.loads(text)
        # Python also reads NaN and half surrogate pairs, which no other program would.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise bad_field(name, "this is not JSON", 'Such as {"label": "cat"}.') from error


def validated(model: type[Fields], value: Any) -> Fields:
    """``value`` as ``model``; 422 naming the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise validation_error(error) from error


def parse_search_body(text: bytes) -> SearchBody:
    """A JSON search. Call it from a worker: there may be megabytes of it.

    Raises:
        ApiError: 400 when it is not JSON, 422 naming the first field that is wrong.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "not_json", "The body is not JSON.", "See /docs.") from error
    return validated(SearchBody, value)
