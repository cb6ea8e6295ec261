"""``POST /v1/search``: by upload, by base64, by address, by key."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request

from vizinho.contract import search as contract
from vizinho.contract.answers import search_answer
from vizinho.contract.fields import DEFAULT_K, EXAMPLES, OFFSET, K
from vizinho.contract.pictures import image_path
from vizinho.serve.body import read_search, ways_to_pictures
from vizinho.serve.describe import either_body
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import KINDS_ABOUT, SearchAnswer, SearchBody
from vizinho.serve.service import service_of

router = APIRouter(tags=["search"])

SEARCH_FORM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "maxItems": EXAMPLES.most,
            "description": "The picture, as a file; several with `examples`.",
        },
        "k": {"type": "integer", "default": DEFAULT_K, "minimum": K.least, "maximum": K.most},
        "offset": {"type": "integer", "default": 0, "minimum": 0, "maximum": OFFSET.most},
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
    openapi_extra=either_body(SEARCH_FORM, SearchBody),
)
async def search(request: Request) -> SearchAnswer:
    service = service_of(request)
    service.searches.refuse_if_full()
    fields, files = await read_search(request)
    contract.check_fingerprint(fields.fingerprint, service.fingerprint)
    start = time.perf_counter()
    matches = await service.searches.run(
        contract.search, service.gallery, fields, files, ways_to_pictures(service)
    )
    seconds = time.perf_counter() - start
    service.metrics.search_seconds.observe(seconds)
    return SearchAnswer(**search_answer(matches, fields, service.model, seconds, image_path))
