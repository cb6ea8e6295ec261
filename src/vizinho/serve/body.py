"""From a request's body to the picture in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from vizinho.contract.errors import bad_form
from vizinho.contract.pictures import MAX_FIELDS, MAX_FILES, check_upload


@asynccontextmanager
async def open_form(request: Request) -> AsyncIterator[FormData]:
    """A multipart body; its temporary files go with the ``with`` block.

    Raises:
        ApiError: 400 when it can't be parsed, 413 when it is too large.
    """
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS)
    except HTTPException as error:
        raise bad_form(str(error.detail)) from error
    try:
        yield form
    finally:
        await form.close()


async def read_upload(value: UploadFile | str | None, limit: int) -> bytes:
    """The bytes of a form's file field named ``image``.

    Raises:
        ApiError: 422 when it is missing or no file, 400 when it is empty, 413 when too large.
    """
    file = value if isinstance(value, UploadFile) else None
    check_upload(None if file is None else file.size, limit)
    assert file is not None
    return await file.read()
