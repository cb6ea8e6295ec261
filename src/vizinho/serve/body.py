"""From a request's body to the picture in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from vizinho.contract.errors import bad_form, unsupported_body
from vizinho.contract.fields import SearchFields, form_fields, json_fields
from vizinho.contract.pictures import MAX_FIELDS, MAX_FILES, check_upload
from vizinho.contract.search import Ways, in_example, uploads
from vizinho.serve.fetch import fetch_image
from vizinho.serve.service import Service, service_of


def kind_of(request: Request) -> str:
    """The media type of a request's body, without its parameters; empty where none is named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


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


async def read_search(request: Request) -> tuple[SearchFields, list[bytes]]:
    """The fields of a search and the files in it, from a form or from JSON.

    Raises:
        ApiError: 415 for any other body, 422 naming a field that is wrong, 400, 413.
    """
    service = service_of(request)
    kind = kind_of(request)
    if kind == "multipart/form-data":
        async with open_form(request) as form:
            fields = form_fields(form.multi_items())
            limit = service.options.max_upload_bytes
            values = uploads(form.getlist("image"), fields)
            return fields, await _read_all(values, fields, limit)
    if kind == "application/json":
        return await service.files.run(json_fields, await request.body()), []
    raise unsupported_body(kind)


async def _read_all(
    values: Sequence[UploadFile | str | None], fields: SearchFields, limit: int
) -> list[bytes]:
    """The bytes of all files of a search; of several examples an error names which one it is."""
    files = []
    for number, value in enumerate(values):
        with in_example(fields, number):
            files.append(await read_upload(value, limit))
    return files


def ways_to_pictures(service: Service) -> Ways:
    """As this server's options allow."""
    limit = service.options.max_upload_bytes
    gallery = service.gallery
    fetch = partial(fetch_image, hosts=service.options.image_url_hosts, limit=limit)
    return Ways(limit, fetch, lambda key: gallery.image_bytes(key)[0])
