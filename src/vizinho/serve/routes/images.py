"""The gallery's pictures: listing, records, bytes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from vizinho.contract.answers import KEEP_SECONDS, labels_answer, listing, picture
from vizinho.contract.fields import (
    DEFAULT_LABELS_LIMIT,
    DEFAULT_LIST_LIMIT,
    LABELS_LIMIT,
    LIST_LIMIT,
    LIST_OFFSET,
    SIZE,
)
from vizinho.contract.pictures import checked_key, image_path
from vizinho.images import load_image, thumbnail
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import LabelsAnswer, Picture, PictureList
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["images"])

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}


@router.get("/v1/images", summary="List the gallery")
async def list_images(
    request: Request,
    offset: Annotated[int, Query(ge=LIST_OFFSET.least, le=LIST_OFFSET.most)] = 0,
    limit: Annotated[int, Query(ge=LIST_LIMIT.least, le=LIST_LIMIT.most)] = DEFAULT_LIST_LIMIT,
    label: Annotated[str | None, Query(description="Only pictures of this label.")] = None,
) -> PictureList:
    service = service_of(request)
    page = await service.files.run(listing, service.gallery, offset, limit, label, image_path)
    return PictureList(**page)


@router.get("/v1/labels", summary="The labels, and how many pictures each has")
async def list_labels(
    request: Request,
    limit: Annotated[
        int, Query(ge=LABELS_LIMIT.least, le=LABELS_LIMIT.most)
    ] = DEFAULT_LABELS_LIMIT,
) -> LabelsAnswer:
    service = service_of(request)
    return LabelsAnswer(**await service.files.run(labels_answer, service.gallery, limit))


@router.get("/v1/images/{key:path}", summary="One picture's record", responses=_MISSING)
async def get_image(request: Request, key: str) -> Picture:
    service = service_of(request)
    row = await service.files.run(service.gallery.get, checked_key(key))
    return Picture(**picture(row, image_path))


@router.head("/images/{key:path}", include_in_schema=False)
@router.get(
    "/images/{key:path}",
    summary="A picture's bytes",
    response_class=Response,
    responses={**_MISSING, 304: {"description": "Unchanged."}},
)
async def image_bytes(
    request: Request,
    key: str,
    size: Annotated[
        int | None,
        Query(
            ge=SIZE.least,
            le=SIZE.most,
            description="Shrink to this many pixels, as JPEG; never grows.",
        ),
    ] = None,
) -> Response:
    service = service_of(request)
    row = await service.files.run(service.gallery.get, checked_key(key))
    tag = f'"{row.hash}"' if size is None else f'"{row.hash}-{size}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={KEEP_SECONDS}"}
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    data, kind = await service.files.run(_bytes, service, key, size)
    # HEAD too: the server leaves the body out and keeps the length.
    return Response(data, media_type=kind, headers=headers)


def matches(asked: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` names ``tag``, which is given with its quotes."""
    tags = [each.strip().removeprefix("W/") for each in asked.split(",")]
    return tag in tags or "*" in tags


def _bytes(service: Service, key: str, size: int | None) -> tuple[bytes, str]:
    data, kind = service.gallery.image_bytes(key)
    if size is None:
        return data, kind
    image = load_image(data, target=size)
    # Small pictures go out as they are: a copy would only lose.
    if max(image.size) <= size:
        return data, kind
    return thumbnail(image, size), "image/jpeg"
