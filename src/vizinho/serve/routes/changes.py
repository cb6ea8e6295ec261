"""Changing the gallery where the server allows it: add, label, remove; each request at once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile

from vizinho.contract.answers import picture
from vizinho.contract.changes import edit_fields
from vizinho.contract.errors import ApiError, bad_field, key_not_found, read_only
from vizinho.contract.fields import parse_json
from vizinho.contract.pictures import checked_key, image_path
from vizinho.errors import GalleryError, ImageError, NotAnImage
from vizinho.gallery import NewImage
from vizinho.gallery.intake import check_key
from vizinho.images import content_hash, load_image, media_type
from vizinho.serve.body import open_form, read_upload
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import AddAnswer, EditBody, Picture, Refused, RemoveAnswer
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["images"])

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
_CLOSED: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (403, 503)}


@router.post("/v1/images", summary="Add pictures", responses=_CLOSED, status_code=201)
async def add_images(request: Request) -> AddAnswer:
    """Multipart: one or more files named `image`, and for all of them `label` and `metadata`
    (JSON). `key` names a single picture; without it a picture is named after its content."""
    service = service_of(request)
    _require_writable(request, service)
    service.writes.refuse_if_full()
    async with open_form(request) as form:
        items = await _new_images(form, service.options.max_upload_bytes)
    return await service.writes.run(_add, service, items)


@router.delete("/v1/images/{key:path}", summary="Remove a picture", responses=_CLOSED | _MISSING)
async def remove_image(request: Request, key: str) -> RemoveAnswer:
    service = service_of(request)
    _require_writable(request, service)
    removed = await service.writes.run(_remove, service, checked_key(key))
    if not removed:
        raise key_not_found(key)
    return RemoveAnswer(removed=removed)


@router.patch(
    "/v1/images/{key:path}",
    summary="Change a picture's label or metadata",
    responses=_CLOSED | _MISSING,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": EditBody.model_json_schema()}},
        }
    },
)
async def edit_image(request: Request, key: str) -> Picture:
    """What is left out stays as it is; `"label": null` takes the label away, and `metadata`
    replaces all that was kept beside the picture."""
    service = service_of(request)
    _require_writable(request, service)
    service.writes.refuse_if_full()
    label, metadata = edit_fields(await request.body())

    def edit() -> dict[str, Any]:
        row = service.gallery.edit(checked_key(key), label=label, metadata=metadata)
        return picture(row, image_path)

    return Picture(**await service.writes.run(edit))


def _require_writable(request: Request, service: Service) -> None:
    if not service.options.writable:
        raise read_only("Start it with --writable, or use vizinho add and vizinho remove.")
    # A form may be posted from any web page without asking; a browser then names that page.
    origin = request.headers.get("origin")
    if origin is None or origin in service.options.cors_origins:
        return
    if urlsplit(origin).netloc != request.headers.get("host"):
        raise ApiError(
            403,
            "foreign_origin",
            f"Pages of {origin} may not change this gallery.",
            "Start the server with --cors and that origin.",
        )


async def _new_images(form: FormData, limit: int) -> list[NewImage]:
    files = form.getlist("image")
    key, label = _text(form, "key"), _text(form, "label")
    text = _text(form, "metadata")
    metadata = parse_json("metadata", text) if text else {}
    if not isinstance(metadata, dict):
        raise bad_field("metadata", "this is not a JSON object")
    if key and len(files) > 1:
        raise bad_field("key", "one key can't name several pictures")
    if key:
        try:
            check_key(key)
        except GalleryError as error:
            raise bad_field("key", error.message, error.hint) from error
    if not files:
        raise bad_field("image", "the form has no file of that name", "Send the picture in it.")
    items = []
    for file in files:
        data = await read_upload(file, limit)
        name = key or content_hash(data)[:32] + _suffix(file, data)
        items.append(NewImage(data, key=name, label=label, metadata=metadata, store=True))
    return items


def _suffix(file: UploadFile | str | None, data: bytes) -> str:
    try:
        return "." + media_type(data).removeprefix("image/")
    except ImageError as error:
        named = file.filename if isinstance(file, UploadFile) and file.filename else "the file"
        raise NotAnImage(f"{named}: {error.message}", error.hint) from error


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise bad_field(name, "this is a file where text was expected")
    return value or None


def _add(service: Service, items: list[NewImage]) -> AddAnswer:
    if len(items) == 1:
        # A single picture that can't be read is an error of its own, not a footnote.
        load_image(items[0].source, target=service.gallery.embedder.spec.size)
    report = service.gallery.add(items, at_once=True)
    hashes = [content_hash(item.source) for item in items if isinstance(item.source, bytes)]
    found = service.gallery.find(hashes)
    keys = [found[each] for each in hashes if each in found]
    return AddAnswer(
        keys=keys,
        added=report.added,
        unchanged=report.unchanged,
        changed=report.changed,
        duplicates=report.duplicates,
        skipped=[Refused(name=each.name, reason=each.reason) for each in report.skipped],
    )


def _remove(service: Service, key: str) -> int:
    return service.gallery.remove([key])
