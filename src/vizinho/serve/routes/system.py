"""The model, the pulse and the counters."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from vizinho.serve.metrics import CONTENT_TYPE
from vizinho.serve.schemas import HealthAnswer, ModelAnswer
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["server"])


@router.get("/v1/model", summary="The model, what it measured, and what this server allows")
async def model(request: Request) -> ModelAnswer:
    service = service_of(request)
    info: dict[str, Any] = await service.files.run(_info, service)
    options = service.options
    return ModelAnswer(
        name=info["model"],
        fingerprint=info["fingerprint"],
        dimension=info["dimension"],
        metrics=info["metrics"] or {},
        gallery=info["name"],
        images=info["count"],
        max_upload_bytes=options.max_upload_bytes,
        writable=options.writable,
        image_url=bool(options.image_url_hosts),
        version=request.app.version,
    )


def _info(service: Service) -> dict[str, Any]:
    return service.gallery.info


@router.get("/health", summary="Alive, and how busy")
async def health(request: Request) -> HealthAnswer:
    # No look at the gallery: this must answer while every worker and the disk are busy.
    searches = service_of(request).searches
    return HealthAnswer(status="ok", searches=searches.inside, searches_limit=searches.limit)


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    service = service_of(request)
    service.metrics.images.set(await service.files.run(_count, service))
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _count(service: Service) -> int:
    return int(service.gallery.count)
