"""The contract of the thesis, to the letter: ``POST /`` with base64 text."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request

from vizinho.contract.answers import thesis_answer
from vizinho.contract.pictures import image_path
from vizinho.contract.search import thesis_search
from vizinho.serve.errors import ErrorBody
from vizinho.serve.service import base_url, service_of

router = APIRouter(tags=["thesis"])


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
    limit = service.options.max_upload_bytes
    # In a worker from the text on: megabytes of base64 take long enough to hold up the loop.
    matches = await service.searches.run(thesis_search, service.gallery, body, limit)
    service.metrics.search_seconds.observe(time.perf_counter() - start)
    base = base_url(request)

    def address(key: str, url: str) -> str:
        path = image_path(key, url)
        return base + path if path.startswith("/") else path

    return thesis_answer(matches, address)
