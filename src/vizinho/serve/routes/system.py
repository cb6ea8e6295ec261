"""The model, the pulse and the counters."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from vizinho.contract.answers import health_answer, model_answer
from vizinho.serve.features import features
from vizinho.serve.metrics import CONTENT_TYPE
from vizinho.serve.schemas import HealthAnswer, ModelAnswer
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["server"])


@router.get("/v1/model", summary="The model, what it measured, and what this server allows")
async def model(request: Request) -> ModelAnswer:
    service = service_of(request)
    return ModelAnswer(**await service.files.run(_about, service))


@router.get("/health", summary="Alive, and how busy")
async def health(request: Request) -> HealthAnswer:
    # No look at the gallery: this must answer while every worker and the disk are busy.
    searches = service_of(request).searches
    return HealthAnswer(**health_answer(searches.inside, searches.limit))


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    service = service_of(request)
    service.metrics.images.set(await service.files.run(_count, service))
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _about(service: Service) -> dict[str, Any]:
    # What is offered is asked here too: whether the model can be explained waits for its file.
    return model_answer(
        service.gallery,
        max_upload_bytes=service.options.max_upload_bytes,
        features=features(service),
    )


def _count(service: Service) -> int:
    return int(service.gallery.count)
