"""Right and wrong marks on results: given, taken back, listed, exported."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from vizinho.contract.answers import KEEP_SECONDS
from vizinho.contract.errors import key_not_found
from vizinho.contract.feedback import MarkFields, mark_fields, not_offered
from vizinho.contract.fields import DEFAULT_LIST_LIMIT, LIST_LIMIT, LIST_OFFSET
from vizinho.contract.pictures import image_path
from vizinho.gallery.feedback import Feedback, Mark, crop_text, text_crop
from vizinho.gallery.feedback_export import export_feedback
from vizinho.images import content_hash, media_type
from vizinho.serve.changing import require_writable
from vizinho.serve.describe import json_body
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import CropBox
from vizinho.serve.schemas_care import FeedbackBody, FeedbackList, MarkAnswer, MarkedQuery
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["feedback"])

_CLOSED: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (403, 404, 409)}
_HASH = re.compile("[0-9a-f]{64}")
_BLOCK = 2**20
PICTURES = "/v1/feedback/pictures/"


@router.post(
    "/v1/feedback",
    summary="Say that a result is right or wrong",
    responses={
        **_CLOSED,
        **{code: {"model": ErrorBody} for code in (400, 413, 415, 422, 503, 507)},
    },
    openapi_extra=json_body(FeedbackBody),
)
async def give_feedback(request: Request) -> MarkAnswer:
    """A second mark on the same two replaces the first; `"verdict": null` takes it back. A picture
    that was sent is kept in the gallery's folder with its marks."""
    service = service_of(request)
    _require_feedback(request, service)
    service.writes.refuse_if_full()
    limit = service.options.max_upload_bytes
    fields = await service.files.run(mark_fields, await request.body(), limit)
    return await service.writes.run(_mark, service, fields)


@router.get("/v1/feedback", summary="The marks, newest first", responses=_CLOSED)
async def list_feedback(
    request: Request,
    offset: Annotated[int, Query(ge=LIST_OFFSET.least, le=LIST_OFFSET.most)] = 0,
    limit: Annotated[int, Query(ge=LIST_LIMIT.least, le=LIST_LIMIT.most)] = DEFAULT_LIST_LIMIT,
    query: Annotated[
        str | None, Query(description="Only of this query: a key or a content hash.")
    ] = None,
) -> FeedbackList:
    service = service_of(request)
    _require_feedback(request, service)
    return await service.files.run(_listed, service, offset, limit, query)


@router.get(
    "/v1/feedback/export",
    summary="Marks and pictures for training, as a ZIP",
    response_class=Response,
    responses={**_CLOSED, 200: {"content": {"application/zip": {}}}},
)
async def export(request: Request) -> Response:
    """What `vizinho feedback --export` writes: pairs.csv, labels.csv and the pictures."""
    service = service_of(request)
    _require_feedback(request, service)
    file, size = await service.exports.run(_zipped, service)
    headers = {
        "Content-Disposition": 'attachment; filename="feedback.zip"',
        "Content-Length": str(size),
    }
    return StreamingResponse(_blocks(file), media_type="application/zip", headers=headers)


@router.get(
    PICTURES + "{content}",
    summary="A picture that was searched with",
    response_class=Response,
    responses=_CLOSED,
)
async def picture(request: Request, content: str) -> Response:
    service = service_of(request)
    _require_feedback(request, service)
    if not _HASH.fullmatch(content):
        raise key_not_found()
    data = await service.files.run(service.gallery.feedback.picture, content)
    headers = {"Cache-Control": f"private, max-age={KEEP_SECONDS}"}
    return Response(data, media_type=media_type(data), headers=headers)


def _require_feedback(request: Request, service: Service) -> None:
    require_writable(request, service)
    if not service.gallery.keeps_feedback:
        raise not_offered("feedback", "A gallery in a folder, not packed, keeps it.")


def _mark(service: Service, fields: MarkFields) -> MarkAnswer:
    kept = service.gallery.feedback
    query, key, crop = fields.query, fields.key, fields.crop
    if fields.verdict is not None:
        return _answer(service, kept, kept.mark(query, key, fields.verdict, crop=crop))
    kept.take_back(query, key, crop=crop)
    content, named = "", None
    if isinstance(query, bytes):
        content = content_hash(query)
    elif rows := service.gallery.get_many([query]):
        content, named = rows[0].hash, rows[0].key
    elif _HASH.fullmatch(query):
        content = query
    else:
        named = query
    return MarkAnswer(
        query=MarkedQuery(hash=content, key=named, crop=_box(crop_text(crop)), url=None),
        key=key,
        url=None,
        label=None,
        verdict=None,
        distance=None,
        model=None,
        time=None,
    )


def _listed(service: Service, offset: int, limit: int, query: str | None) -> FeedbackList:
    kept = service.gallery.feedback
    found = kept.marks(offset, limit + 1, query=query)
    counts = kept.counts(query=query)
    return FeedbackList(
        marks=[_answer(service, kept, mark) for mark in found[:limit]],
        right=counts["right"],
        wrong=counts["wrong"],
        offset=offset,
        limit=limit,
        next=offset + limit if len(found) > limit else None,
    )


def _answer(service: Service, kept: Feedback, mark: Mark) -> MarkAnswer:
    rows = {row.hash: row for row in service.gallery.get_many([mark.key, mark.query_key or ""])}
    here, asked = rows.get(mark.hash), rows.get(mark.query_hash)
    url = None
    if asked is not None:
        url = image_path(asked.key, asked.url)
    elif mark.query_key is None:
        url = PICTURES + mark.query_hash
    told = mark.to_dict()
    return MarkAnswer(
        query=MarkedQuery(hash=mark.query_hash, key=mark.query_key, crop=_box(mark.crop), url=url),
        key=mark.key,
        url=None if here is None else image_path(here.key, here.url),
        label=None if here is None else here.label,
        verdict=mark.verdict,
        distance=mark.distance,
        model=mark.model,
        time=told["time"],
    )


def _box(text: str) -> CropBox | None:
    crop = text_crop(text)
    return None if crop is None else CropBox(**vars(crop))


def _zipped(service: Service) -> tuple[IO[bytes], int]:
    """The export as a file without a name, and its size; pictures are packed as they are."""
    gallery = service.gallery
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vizinho-") as folder,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed,
        ):
            export_feedback(gallery, gallery.feedback, Path(folder) / "feedback")
            for path in sorted(Path(folder, "feedback").rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder))
        return file, file.tell()
    except BaseException:
        file.close()
        raise


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block
