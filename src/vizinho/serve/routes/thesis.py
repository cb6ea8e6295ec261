"""The contract of the thesis, to the letter: ``POST /`` with base64 text."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request

from vizinho.gallery import Match
from vizinho.serve.body import decode_base64
from vizinho.serve.errors import ErrorBody
from vizinho.serve.service import Service, base_url, image_path, service_of

router = APIRouter(tags=["thesis"])

TEN = 10


@router.post(
    "/",
    summary="The thesis's search: a picture as base64 text in, ten addresses out",
    response_description="Ten pictures in ascending distance: whole address to distance.",
    responses={code: {"model": ErrorBody} for code in (400, 413, 415, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The picture's bytes as base64 text; a data: URL is fine too.",
            "content": {"text/plain": {"schema": {"type": "string", "format": "byte"}}},
        }
    },
)
async def search(request: Request) -> dict[str, dict[str, float]]:
    service = service_of(request)
    service.searches.refuse_if_full()
    body = await request.body()
    start = time.perf_counter()
    matches = await service.searches.run(_search, service, body)
    service.metrics.search_seconds.observe(time.perf_counter() - start)
    base = base_url(request)
    results: dict[str, float] = {}
    for match in matches:
        path = image_path(match.key, match.url)
        results[base + path if path.startswith("/") else path] = match.distance
    return {"results": results}


def _search(service: Service, body: bytes) -> list[Match]:
    """In a worker from the text on: megabytes of base64 take long enough to hold up the loop."""
    data = decode_base64(body, service.options.max_upload_bytes)
    return service.gallery.search(data, k=TEN)
