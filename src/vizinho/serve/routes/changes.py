"""Changing the gallery where the server allows it: add, label, remove; each request at once."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile

from vizinho.contract.answers import picture
from vizinho.contract.changes import edit_fields, label_fields, removal_fields
from vizinho.contract.errors import ApiError, bad_field, from_core, key_not_found, read_only
from vizinho.contract.pictures import checked_key, image_path
from vizinho.contract.values import parse_json
from vizinho.errors import GalleryError, ImageError, NotAnImage, VizinhoError
from vizinho.gallery import NewImage
from vizinho.gallery.intake import check_key
from vizinho.gallery.returning import any_returning
from vizinho.images import content_hash, load_image, media_type
from vizinho.serve.body import open_form, read_upload
from vizinho.serve.changing import require_writable
from vizinho.serve.describe import form_body, json_body
from vizinho.serve.errors import ErrorBody
from vizinho.serve.schemas import EditBody, Picture
from vizinho.serve.schemas_care import (
    AddAnswer,
    LabelAnswer,
    LabelBody,
    Refused,
    RemoveAnswer,
    RemoveBody,
    There,
)
from vizinho.serve.service import Service, service_of

router = APIRouter(tags=["images"])

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
_CLOSED: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (403, 503, 507)}
_FORM: dict[str, dict[str, Any]] = {
    "image": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
    "key": {"type": "string", "description": "Names a single picture."},
    "label": {"type": "string", "description": "Of all of them."},
    "metadata": {"type": "string", "description": "Of all of them, as JSON."},
    "keep_names": {"type": "boolean", "default": False},
}


@router.post(
    "/v1/images",
    summary="Add pictures",
    responses={**_CLOSED, 415: {"model": ErrorBody}},
    status_code=201,
    openapi_extra=form_body(_FORM, required=["image"]),
)
async def add_images(request: Request) -> AddAnswer:
    """Multipart: one or more files named `image`, and for all of them `label` and `metadata`
    (JSON). `key` names a single picture; without it a picture is named after its content, or with
    `keep_names` (true) after its file. Of several files those that can't be taken are listed as
    `skipped`, and the others go in."""
    service = service_of(request)
    _require_changeable(request, service)
    service.writes.refuse_if_full()
    async with open_form(request) as form:
        received = await _received(form, service.options.max_upload_bytes)
        # Megabytes are hashed: searches must not wait for that.
        upload = await service.files.run(_new_images, form, received)
    return await service.writes.run(_add, service, *upload)


@router.post(
    "/v1/images/remove",
    summary="Remove many pictures in one step",
    responses=_CLOSED,
    openapi_extra=json_body(RemoveBody),
)
async def remove_images(request: Request) -> RemoveAnswer:
    """Keys that are not there are passed over. Of the others all go or, where the server dies on
    the way, none."""
    service = service_of(request)
    _require_changeable(request, service)
    service.writes.refuse_if_full()
    keys = await service.files.run(removal_fields, await request.body())
    return await service.writes.run(_remove, service, keys)


@router.post(
    "/v1/images/label",
    summary="Label many pictures in one step",
    responses=_CLOSED,
    openapi_extra=json_body(LabelBody),
)
async def label_images(request: Request) -> LabelAnswer:
    """`"label": null` takes the labels away. Keys that are not there are listed as `unknown`. Of
    the others all are labelled or, where the server dies on the way, none."""
    service = service_of(request)
    _require_changeable(request, service)
    service.writes.refuse_if_full()
    keys, label = await service.files.run(label_fields, await request.body())

    def edit() -> LabelAnswer:
        report = service.gallery.set_labels((key, label) for key in keys)
        return LabelAnswer(
            changed=report.changed, unchanged=report.unchanged, unknown=report.unknown
        )

    return await service.writes.run(edit)


@router.delete("/v1/images/{key:path}", summary="Remove a picture", responses=_CLOSED | _MISSING)
async def remove_image(request: Request, key: str) -> RemoveAnswer:
    service = service_of(request)
    _require_changeable(request, service)
    answer = await service.writes.run(_remove, service, [checked_key(key)])
    if not answer.removed:
        raise key_not_found(key)
    return answer


@router.patch(
    "/v1/images/{key:path}",
    summary="Change a picture's label or metadata",
    responses=_CLOSED | _MISSING,
    openapi_extra=json_body(EditBody),
)
async def edit_image(request: Request, key: str) -> Picture:
    """What is left out stays as it is; `"label": null` takes the label away, and `metadata`
    replaces all that was kept beside the picture."""
    service = service_of(request)
    _require_changeable(request, service)
    service.writes.refuse_if_full()
    label, metadata = await service.files.run(edit_fields, await request.body())

    def edit() -> dict[str, Any]:
        row = service.gallery.edit(checked_key(key), label=label, metadata=metadata)
        return picture(row, image_path)

    return Picture(**await service.writes.run(edit))


def _require_changeable(request: Request, service: Service) -> None:
    require_writable(request, service)
    if not service.gallery.changeable:
        raise read_only("It is packed: change the gallery it was made of, and pack that again.")


async def _received(form: FormData, limit: int) -> list[tuple[str, bytes | ApiError]]:
    """What each file is called, and its bytes or why they can't be had."""
    received: list[tuple[str, bytes | ApiError]] = []
    for file in form.getlist("image"):
        called = (file.filename if isinstance(file, UploadFile) else None) or "the file"
        try:
            received.append((called, await read_upload(file, limit)))
        except ApiError as error:
            received.append((called, error))
    return received


def _new_images(
    form: FormData, received: list[tuple[str, bytes | ApiError]]
) -> tuple[list[NewImage], list[str], list[Refused]]:
    """What is to be added, what its files are called, and what can't be taken."""
    key, label = _text(form, "key"), _text(form, "label")
    text = _text(form, "metadata")
    keep = _text(form, "keep_names") in ("true", "1")
    metadata = parse_json("metadata", text) if text else {}
    if not isinstance(metadata, dict):
        raise bad_field("metadata", "this is not a JSON object")
    if key and len(received) > 1:
        raise bad_field("key", "one key can't name several pictures")
    if key:
        try:
            check_key(key)
        except GalleryError as error:
            raise bad_field("key", error.message, error.hint) from error
    if not received:
        raise bad_field("image", "the form has no file of that name", "Send the picture in it.")
    items: list[NewImage] = []
    names: list[str] = []
    refused: list[Refused] = []
    for called, data in received:
        try:
            if isinstance(data, ApiError):
                raise data
            suffix = _suffix(called, data)
        except (ApiError, VizinhoError) as error:
            if len(received) == 1:
                raise
            told = error if isinstance(error, ApiError) else from_core(error)
            refused.append(Refused(name=called, code=told.code, reason=str(error)))
            continue
        stem = _stem(called) if keep and not key else ""
        named = key or (None if stem else content_hash(data)[:32] + suffix)
        items.append(NewImage(data, key=named, label=label, metadata=metadata, stem=stem))
        names.append(called)
    return items, names, refused


def _suffix(called: str, data: bytes) -> str:
    try:
        return "." + media_type(data).removeprefix("image/")
    except ImageError as error:
        raise NotAnImage(f"{called}: {error.message}", error.hint) from error


def _stem(name: str) -> str:
    """A file's name as a key, without what would lead out of a folder; "" where nothing is left."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part.strip("./")]
    try:
        return check_key("/".join(parts))
    except GalleryError:
        return ""


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise bad_field(name, "this is a file where text was expected")
    return value or None


def _add(
    service: Service, items: list[NewImage], names: list[str], refused: list[Refused]
) -> AddAnswer:
    gallery = service.gallery
    if len(items) == 1 and not refused:
        # A single picture that can't be read is an error of its own, not a footnote.
        load_image(items[0].source, target=gallery.embedder.spec.size)
    hashes = [content_hash(item.source) for item in items if isinstance(item.source, bytes)]
    before = gallery.find(hashes)
    report = gallery.add(items, at_once=True)
    found = gallery.find(hashes)
    sent = {item.key or item.stem: (item, name) for item, name in zip(items, names, strict=True)}
    return AddAnswer(
        keys=[found[each] for each in hashes if each in found],
        added=report.added,
        unchanged=report.unchanged,
        changed=report.changed,
        duplicates=report.duplicates,
        there=[
            There(name=name, key=before[each])
            for name, each in zip(names, hashes, strict=True)
            if each in before
        ],
        skipped=[
            *refused,
            *(_refused(*sent[each.name], each.reason) for each in report.skipped),
        ],
    )


def _refused(item: NewImage, name: str, reason: str) -> Refused:
    try:
        load_image(item.source, name=name)
    except ImageError as error:
        return Refused(name=name, code=from_core(error).code, reason=str(error))
    return Refused(name=name, code="unreadable_image", reason=reason)


def _remove(service: Service, keys: list[str]) -> RemoveAnswer:
    gallery = service.gallery
    returning = any_returning(gallery, keys)
    return RemoveAnswer(removed=gallery.remove(keys), mirrored=returning)
