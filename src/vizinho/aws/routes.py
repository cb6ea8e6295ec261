"""The addresses of the function: one request in, status, headers and body out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from vizinho.aws.events import Request, keys_of
from vizinho.aws.forms import parse_form
from vizinho.aws.links import Links
from vizinho.contract import answers, errors
from vizinho.contract import search as contract
from vizinho.contract.features import listed
from vizinho.contract.fields import (
    DEFAULT_LABELS_LIMIT,
    DEFAULT_LIST_LIMIT,
    LABELS_LIMIT,
    LIST_LIMIT,
    LIST_OFFSET,
    SIZE,
    SearchFields,
    form_fields,
    json_fields,
)
from vizinho.contract.pictures import body_limit, check_upload, checked_key, image_path
from vizinho.contract.values import whole
from vizinho.engines import Row
from vizinho.errors import ImageError, KeyNotFound, VizinhoError
from vizinho.gallery.view import GalleryView
from vizinho.images import media_type
from vizinho.settings import FunctionSettings

_READ_SECONDS = 10
# There is no /docs here.
DESCRIBED = "in Vizinho's documentation, docs/api.md"
_READ_ONLY = "Change it where it is, with vizinho add and vizinho remove, and deploy it again."


class Answer(NamedTuple):
    """Status, headers, and a body: JSON as a dict, bytes as they are."""

    status: int
    headers: dict[str, str]
    body: bytes | dict[str, Any] | None


Route = Callable[[Request, str], Answer]


class Routes:
    """What the function answers over an open gallery."""

    def __init__(self, gallery: GalleryView, settings: FunctionSettings) -> None:
        self._gallery = gallery
        self._settings = settings
        self._links = Links(settings)
        info = gallery.embedder.info
        self._model, self._fingerprint = info.name, info.fingerprint

    def answer(self, request: Request) -> Answer:
        """The answer to a request; an error that is meant for people is one too."""
        try:
            return self._route(request)
        except errors.ApiError as error:
            return refusal(error)
        except VizinhoError as error:
            return refusal(errors.from_core(error))

    def _route(self, request: Request) -> Answer:
        for path in request.paths:
            methods, rest = self._at(path)
            if methods:
                break
        else:
            raise errors.of_status(404)
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
        if request.method not in methods:
            # What would only be told that the gallery is not changed here is not offered.
            taken = [method for method, route in methods.items() if route != self._refuse]
            allowed = ", ".join([*taken, "OPTIONS"])
            raise errors.of_status(405, headers={"Allow": allowed})
        return methods[request.method](request, rest)

    def _at(self, path: str) -> tuple[dict[str, Route], str]:
        """What an address takes, by method, and the rest of the path."""
        known: dict[str, dict[str, Route]] = {
            "/": {"POST": self._thesis},
            "/health": {"GET": self._health},
            "/v1/model": {"GET": self._about},
            "/v1/labels": {"GET": self._labels},
            "/v1/search": {"POST": self._search},
            "/v1/images": {"GET": self._list, "POST": self._refuse},
        }
        if path in known:
            return known[path], ""
        under: dict[str, dict[str, Route]] = {
            "/v1/images/": {
                "GET": self._record,
                "PATCH": self._refuse,
                "DELETE": self._refuse,
            },
            "/images/": {"GET": self._picture},
        }
        for start, methods in under.items():
            if path.startswith(start):
                return methods, path.removeprefix(start)
        return {}, ""

    def _thesis(self, request: Request, _: str) -> Answer:
        limit = self._settings.max_upload_bytes
        body = request.body(body_limit(limit), limit)
        if _is_picture(body):
            # The picture itself, which a gateway carries as base64 of its own.
            check_upload(len(body), limit)
            matches = self._gallery.search(body, k=contract.TEN)
        else:
            matches = contract.thesis_search(self._gallery, body, limit)

        def address(key: str, url: str) -> str:
            path = self._address(key, url)
            return request.base + path if path.startswith("/") else path

        return _json(answers.thesis_answer(matches, address))

    def _search(self, request: Request, _: str) -> Answer:
        limit = self._settings.max_upload_bytes
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in ("multipart/form-data", "application/json"):
            raise errors.unsupported_body(kind)
        body = request.body(body_limit(limit), limit)
        if kind == "application/json":
            return self._found(json_fields(body), ())
        items = parse_form(body, content_type)
        fields = form_fields(items)
        values = contract.uploads([value for name, value in items if name == "image"], fields)
        for number, value in enumerate(values):
            with contract.in_example(fields, number):
                check_upload(len(value) if isinstance(value, bytes) else None, limit)
        return self._found(fields, [value for value in values if isinstance(value, bytes)])

    def _found(self, fields: SearchFields, files: Sequence[bytes]) -> Answer:
        contract.check_fingerprint(fields.fingerprint, self._fingerprint)
        start = time.perf_counter()
        matches = contract.search(
            self._gallery,
            fields,
            files,
            contract.Ways(self._settings.max_upload_bytes, _no_fetch, self._read),
        )
        seconds = time.perf_counter() - start
        return _json(answers.search_answer(matches, fields, self._model, seconds, self._address))

    def _list(self, request: Request, _: str) -> Answer:
        offset = whole("offset", request.query.get("offset", 0), LIST_OFFSET)
        limit = whole("limit", request.query.get("limit", DEFAULT_LIST_LIMIT), LIST_LIMIT)
        label = request.query.get("label")
        return _json(answers.listing(self._gallery, offset, limit, label, self._address))

    def _labels(self, request: Request, _: str) -> Answer:
        limit = whole("limit", request.query.get("limit", DEFAULT_LABELS_LIMIT), LABELS_LIMIT)
        return _json(answers.labels_answer(self._gallery, limit))

    def _about(self, _: Request, __: str) -> Answer:
        limit = self._settings.max_upload_bytes
        return _json(
            answers.model_answer(self._gallery, max_upload_bytes=limit, features=listed(()))
        )

    def _health(self, _: Request, __: str) -> Answer:
        # One environment answers one request at a time: this one.
        return _json(answers.health_answer(0, 1))

    def _record(self, _: Request, rest: str) -> Answer:
        return _json(answers.picture(self._row(rest), self._address))

    def _picture(self, request: Request, rest: str) -> Answer:
        if "size" in request.query:
            whole("size", request.query["size"], SIZE)
        row = self._row(rest)
        keep = answers.KEEP_SECONDS
        link = self._links.of(row.url)
        if link.startswith(("http://", "https://")):
            # A redirect that is kept longer than its link is good for would lead nowhere.
            keep = min(keep, self._settings.link_seconds // 2)
            headers = {"Location": link, "Cache-Control": f"private, max-age={keep}"}
            return Answer(302, headers, None)
        data, kind = self._gallery.image_bytes(row.key)
        headers = {"Content-Type": kind, "Cache-Control": f"public, max-age={keep}"}
        return Answer(200, {**headers, "ETag": f'"{row.hash}"'}, data)

    def _refuse(self, _: Request, __: str) -> Answer:
        raise errors.read_only(_READ_ONLY)

    def _row(self, rest: str) -> Row:
        likely, *others = keys_of(rest)
        try:
            return self._gallery.get(checked_key(likely))
        except (KeyNotFound, errors.ApiError):
            for key in others:
                with suppress(KeyNotFound, errors.ApiError):
                    return self._gallery.get(checked_key(key))
            raise

    def _address(self, key: str, url: str) -> str:
        return image_path(key, self._links.of(url))

    def _read(self, key: str) -> bytes:
        link = self._links.of(self._gallery.get(key).url)
        if not link.startswith(("http://", "https://")):
            return self._gallery.image_bytes(key)[0]
        # Imported here, with the TLS under it: few searches are for a part of a kept picture.
        import urllib.request

        try:
            with urllib.request.urlopen(link, timeout=_READ_SECONDS) as picture:
                return bytes(picture.read())
        except OSError as error:
            raise KeyNotFound(f"The bytes of {key!r} could not be had: {error}.") from error


def refusal(error: errors.ApiError) -> Answer:
    """An error as the answer to send."""
    return Answer(error.status, dict(error.headers), error.body(DESCRIBED))


def _json(body: dict[str, Any]) -> Answer:
    return Answer(200, {}, body)


def _no_fetch(_: str) -> bytes:
    raise errors.image_url_off()


def _is_picture(data: bytes) -> bool:
    try:
        media_type(data)
    except ImageError:
        return False
    return True
