"""``POST /v1/search``: by upload, by base64, by address, by key."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from vizinho.contract import search as contract
from vizinho.contract.answers import search_answer
from vizinho.contract.errors import unsupported_body
from vizinho.contract.fields import SearchFields, form_fields, json_fields
from vizinho.contract.pictures import image_path
from vizinho.serve.body import open_form, read_upload
from vizinho.serve.errors import ErrorBody
from vizinho.serve.fetch import fetch_image
from vizinho.serve.schemas import SearchAnswer, SearchBody
from vizinho.serve.service import Service, service_of

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
            fields = form_fields(form.multi_items())
            data = await read_upload(form.get("image"), service.options.max_upload_bytes)
        return await _answer(service, fields, data)
    if kind == "application/json":
        body = await service.files.run(json_fields, await request.body())
        return await _answer(service, body, None)
    raise unsupported_body(kind)


async def _answer(service: Service, fields: SearchFields, data: bytes | None) -> SearchAnswer:
    contract.check_fingerprint(fields.fingerprint, service.fingerprint)
    limit = service.options.max_upload_bytes
    start = time.perf_counter()
    matches = await service.searches.run(
        contract.search,
        service.gallery,
        fields,
        data,
        limit=limit,
        fetch=partial(fetch_image, hosts=service.options.image_url_hosts, limit=limit),
        read=lambda key: service.gallery.image_bytes(key)[0],
    )
    seconds = time.perf_counter() - start
    service.metrics.search_seconds.observe(seconds)
    return SearchAnswer(**search_answer(matches, fields, service.model, seconds, image_path))
