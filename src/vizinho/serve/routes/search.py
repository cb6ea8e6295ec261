"""``POST /v1/search``: by upload, by base64, by address, by key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from vizinho.contract import search as contract
from vizinho.contract.answers import search_answer
from vizinho.contract.errors import unsupported_body
from vizinho.contract.fields import EXAMPLES, SearchFields, form_fields, json_fields
from vizinho.contract.pictures import image_path
from vizinho.serve.body import open_form, read_upload
from vizinho.serve.errors import ErrorBody
from vizinho.serve.fetch import fetch_image
from vizinho.serve.schemas import KINDS_ABOUT, SearchAnswer, SearchBody
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["search"])

_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "maxItems": EXAMPLES.most,
            "description": "The picture, as a file; several with `examples`.",
        },
        "k": {"type": "integer", "default": 10, "minimum": 1, "maximum": 100},
        "offset": {"type": "integer", "default": 0, "minimum": 0},
        "filter": {"type": "string", "description": 'As JSON, such as {"label": "cat"}.'},
        "crop": {"type": "string", "description": 'As JSON, such as {"top": 0.2, "bottom": 0.8}.'},
        "fingerprint": {"type": "string", "description": "The model you count on, or 409."},
        "kinds": {"type": "boolean", "default": False, "description": KINDS_ABOUT},
        "examples": {
            "type": "string",
            "description": "Several pictures, as JSON: as in a body of JSON, and `image` is the "
            'number of a file. Such as [{"image": 0}, {"key": "a.png", "weight": -0.5}].',
        },
    },
}


@router.post(
    "/v1/search",
    summary="Find the pictures nearest to one, or to several",
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
            values = contract.uploads(form.getlist("image"), fields)
            limit = service.options.max_upload_bytes
            files = [await read_upload(value, limit) for value in values]
        return await _answer(service, fields, files)
    if kind == "application/json":
        body = await service.files.run(json_fields, await request.body())
        return await _answer(service, body, ())
    raise unsupported_body(kind)


async def _answer(service: Service, fields: SearchFields, files: Sequence[bytes]) -> SearchAnswer:
    contract.check_fingerprint(fields.fingerprint, service.fingerprint)
    limit = service.options.max_upload_bytes
    start = time.perf_counter()
    matches = await service.searches.run(
        contract.search,
        service.gallery,
        fields,
        files,
        limit=limit,
        fetch=partial(fetch_image, hosts=service.options.image_url_hosts, limit=limit),
        read=lambda key: service.gallery.image_bytes(key)[0],
    )
    seconds = time.perf_counter() - start
    service.metrics.search_seconds.observe(seconds)
    return SearchAnswer(**search_answer(matches, fields, service.model, seconds, image_path))
