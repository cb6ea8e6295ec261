"""``POST /v1/search``: by upload, by base64, by address, by key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from vizinho.errors import FingerprintMismatch
from vizinho.gallery import Match
from vizinho.images import Crop
from vizinho.serve.body import (
    decode_base64,
    form_fields,
    open_form,
    parse_search_body,
    read_upload,
)
from vizinho.serve.errors import ApiError, ErrorBody
from vizinho.serve.fetch import fetch_image
from vizinho.serve.schemas import Result, SearchAnswer, SearchBody, SearchFields
from vizinho.serve.service import Service, checked_key, image_path, service_of

router = APIRouter(tags=["search"])

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The picture, as a file."},
        "k": {"type": "integer", "default": 10, "minimum": 1, "maximum": 100},
        "offset": {"type": "integer", "default": 0, "minimum": 0},
        "filter": {"type": "string", "description": 'As JSON, such as {"label": "cat"}.'},
        "crop": {"type": "string", "description": 'As JSON, such as {"top": 0.2, "bottom": 0.8}.'},
        "fingerprint": {"type": "string", "description": "The model you count on, or 409."},
    },
}


@router.post(
    "/v1/search",
    summary="Find the pictures nearest to one",
    response_model=SearchAnswer,
    responses={code: {"model": ErrorBody} for code in (400, 403, 404, 409, 413, 415, 422, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _FORM},
                "application/json": {"schema": SearchBody.model_json_schema()},
            },
        }
    },
)
async def search(request: Request) -> SearchAnswer:
    service = service_of(request)
    service.searches.refuse_if_full()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with open_form(request) as form:
            fields = form_fields(form)
            data = await read_upload(form.get("image"), service.options.max_upload_bytes)
        return await _answer(service, fields, data)
    if kind == "application/json":
        body = await service.files.run(parse_search_body, await request.body())
        return await _answer(service, body, None)
    raise ApiError(
        415,
        "unsupported_media_type",
        f"A body of type {kind or 'nothing'} can't be searched with.",
        "Send multipart/form-data with a file named image, or JSON.",
    )


async def _answer(service: Service, fields: SearchFields, data: bytes | None) -> SearchAnswer:
    if fields.fingerprint not in (None, service.fingerprint):
        raise FingerprintMismatch(
            f"This gallery was made with another model ({service.fingerprint[:12]}) than the one "
            "asked for.",
            "GET /v1/model tells which; distances of different models can't be compared.",
        )
    start = time.perf_counter()
    matches = await service.searches.run(_search, service, fields, data)
    seconds = time.perf_counter() - start
    service.metrics.search_seconds.observe(seconds)
    return SearchAnswer(
        results=[
            Result(
                key=match.key,
                url=image_path(match.key, match.url),
                label=match.label,
                metadata=match.metadata,
                distance=match.distance,
                probability=match.probability,
            )
            for match in matches
        ],
        k=fields.k,
        offset=fields.offset,
        model=service.model,
        took_ms=round(seconds * 1000, 2),
    )


def _search(service: Service, fields: SearchFields, data: bytes | None) -> Sequence[Match]:
    gallery, k, offset = service.gallery, fields.k, fields.offset
    if isinstance(fields, SearchBody):
        if fields.key and fields.crop is None:
            key = checked_key(fields.key)
            return gallery.search_key(key, k, offset=offset, filter=fields.filter)
        data = _picture(service, fields)
    assert data is not None
    box = fields.crop
    crop = None if box is None else Crop(box.top, box.left, box.bottom, box.right)
    return gallery.search(data, k=k, offset=offset, filter=fields.filter, crop=crop)


def _picture(service: Service, body: SearchBody) -> bytes:
    """The bytes that a JSON search points at; in a worker, because it may read or fetch."""
    limit = service.options.max_upload_bytes
    if body.image_base64:
        return decode_base64(body.image_base64.encode(), limit)
    if body.image_url:
        return fetch_image(body.image_url, hosts=service.options.image_url_hosts, limit=limit)
    return service.gallery.image_bytes(checked_key(str(body.key)))[0]
