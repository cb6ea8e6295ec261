"""The gallery's pictures: listing, bytes, and (where allowed) adding and removing."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from vizinho.contract.answers import KEEP_SECONDS, listing, picture
from vizinho.contract.errors import ApiError, bad_field, key_not_found, read_only
from vizinho.contract.fields import (
    DEFAULT_LIST_LIMIT,
    LIST_LIMIT,
    LIST_OFFSET,
    SIZE,
    parse_json,
)
from vizinho.contract.pictures import checked_key, image_path
from vizinho.errors import GalleryError, ImageError, KeyNotFound, NotAnImage
from vizinho.gallery import NewImage
from vizinho.gallery.intake import check_key
from vizinho.images import content_hash, load_image, media_type, thumbnail
from vizinho.serve.body import open_form, read_upload
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import AddAnswer, Picture, PictureList, Refused, RemoveAnswer
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["images"])

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
_CLOSED: dict[int | str, dict[str, Any]] = {403: {"model": ErrorBody}}


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


@router.get("/v1/images/{key:path}", summary="One picture's record", responses=_MISSING)
async def get_image(request: Request, key: str) -> Picture:
    service = service_of(request)
    row = await service.files.run(service.gallery.get, checked_key(key))
    return Picture(**picture(row, image_path))


@router.post("/v1/images", summary="Add pictures", responses=_CLOSED, status_code=201)
async def add_images(request: Request) -> AddAnswer:
    """Multipart: one or more files named `image`, and for all of them `label` and `metadata`
    (JSON). `key` names a single picture; without it a picture is named after its content."""
    service = service_of(request)
    _require_writable(request, service)
    service.searches.refuse_if_full()
    async with open_form(request) as form:
        items = await _new_images(form, service.options.max_upload_bytes)
    return await service.searches.run(_add, service, items)


@router.delete("/v1/images/{key:path}", summary="Remove a picture", responses=_CLOSED | _MISSING)
async def remove_image(request: Request, key: str) -> RemoveAnswer:
    service = service_of(request)
    _require_writable(request, service)
    removed = await service.searches.run(_remove, service, checked_key(key))
    if not removed:
        raise key_not_found(key)
    return RemoveAnswer(removed=removed)


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
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    data, kind = await service.files.run(_bytes, service, key, size)
    # HEAD too: the server leaves the body out and keeps the length.
    return Response(data, media_type=kind, headers=headers)


def _matches(asked: str, tag: str) -> bool:
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
    with service.writing:
        report = service.gallery.add(items)
        keys = [key for item in items if (key := _key_of(service, item))]
    return AddAnswer(
        keys=keys,
        added=report.added,
        unchanged=report.unchanged,
        changed=report.changed,
        duplicates=report.duplicates,
        skipped=[Refused(name=each.name, reason=each.reason) for each in report.skipped],
    )


def _key_of(service: Service, item: NewImage) -> str | None:
    """The key under which a picture is in the gallery now: its own, or that of the same bytes."""
    data = item.source
    assert isinstance(data, bytes)
    same = content_hash(data)
    with suppress(KeyNotFound):
        if service.gallery.get(str(item.key)).hash == same:
            return item.key
    try:
        near = service.gallery.search(data, k=10)
    except ImageError:
        return None
    return next((each.key for each in near if service.gallery.get(each.key).hash == same), None)


def _remove(service: Service, key: str) -> int:
    with service.writing:
        return service.gallery.remove([key])
