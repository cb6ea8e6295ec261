"""The function's life: opened once, then one event after another, each with its line in the log."""

from __future__ import annotations

import io
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizinho.aws.events import Request, parse_event, response
from vizinho.aws.routes import Answer, Routes, refusal
from vizinho.contract.answers import DATA_POLICY, SECURITY_HEADERS
from vizinho.contract.errors import ApiError, unexpected
from vizinho.errors import VizinhoError
from vizinho.place import as_place, is_address, shown
from vizinho.settings import FunctionSettings, load_function

log = logging.getLogger("vizinho.aws")

_AGAIN_SECONDS = 5
_METHODS = "GET, HEAD, POST"


class Function:
    """What stays from one request to the next. ``load`` reads what the function was told."""

    def __init__(self, load: Callable[[], FunctionSettings] = load_function) -> None:
        self._load = load
        self._routes: Routes | None = None
        self._cors: tuple[str, ...] = ()
        self._tried = float("-inf")

    def start(self) -> None:
        """Open the gallery and run one search; a failure goes to the log."""
        # The clock on the wall: a function restored from a snapshot finds that it has moved on.
        self._tried = time.time()
        begun = time.perf_counter()
        try:
            settings = self._load()
            self._cors = settings.cors_origins
            gallery = _open(settings.gallery)
            # The first search loads what searching needs: the decoder, the network, the vectors.
            gallery.search(_spot(), k=1)
            self._routes = Routes(gallery, settings)
        except VizinhoError as error:
            log.error("not started", extra={"fields": {"error": str(error)}})
        except Exception as error:
            fields = {"error": f"{type(error).__name__}: {error}"}
            log.exception("not started", extra={"fields": fields})
        else:
            place = settings.gallery
            named = shown(place) if is_address(place) else place
            told = {"ms": _since(begun), "images": gallery.count, "gallery": named}
            log.info("started", extra={"fields": told})

    def handle(self, event: object, request_id: str) -> dict[str, Any]:
        """The answer to an event, and its line in the log."""
        begun = time.perf_counter()
        origin = ""
        fields: dict[str, Any] = {"request": request_id}
        try:
            request = parse_event(event)
            origin = request.headers.get("origin", "")
            fields |= {"method": request.method, "path": request.paths[0]}
            answer = self._answer(request, bool(origin))
        except ApiError as error:
            answer = refusal(error)
        except Exception:
            log.exception("broken", extra={"fields": fields})
            answer = refusal(unexpected())
        fields |= {"status": answer.status, "ms": _since(begun)}
        if isinstance(answer.body, dict) and "error" in answer.body:
            fields["code"] = answer.body["error"]["code"]
        log.info("answered", extra={"fields": fields})
        headers = {
            **answer.headers,
            **SECURITY_HEADERS,
            "Content-Security-Policy": DATA_POLICY,
            **self._cors_headers(origin),
        }
        sent = response(answer.status, headers, answer.body)
        return {**sent, "body": ""} if fields.get("method") == "HEAD" else sent

    def _answer(self, request: Request, from_page: bool) -> Answer:
        if request.method == "OPTIONS":
            return Answer(204, self._preflight() if from_page else {}, None)
        if self._routes is None and time.time() - self._tried >= _AGAIN_SECONDS:
            self.start()
        if self._routes is None:
            raise ApiError(
                503,
                "not_started",
                "The function could not open its gallery.",
                "The reason is in the function's log.",
                {"Retry-After": str(_AGAIN_SECONDS)},
            )
        return self._routes.answer(request)

    def _preflight(self) -> dict[str, str]:
        if not self._cors:
            return {}
        return {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": "Content-Type",
            "Access-Control-Max-Age": "3600",
        }

    def _cors_headers(self, origin: str) -> dict[str, str]:
        if "*" in self._cors:
            return {"Access-Control-Allow-Origin": "*"} if origin else {}
        if not self._cors:
            return {}
        # A cache must not hand one origin's answer to another, also where this one is refused.
        allowed = {"Access-Control-Allow-Origin": origin} if origin in self._cors else {}
        return {**allowed, "Vary": "Origin"}


def _open(place: str) -> Any:
    from vizinho.gallery.view import GalleryView

    path = as_place(place)
    if place.startswith("s3://"):
        from vizinho.aws.remote import fetch_gallery

        path = fetch_gallery(place, Path(tempfile.gettempdir()))
    return GalleryView.open(path)


def _spot() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "JPEG")
    return buffer.getvalue()


def _since(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 1)


class _JsonLines(logging.Formatter):
    """One JSON object a line: what Lambda's log search understands. Never a request's body."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname, "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stdout() -> None:
    """Send Vizinho's log to standard output, as JSON lines."""
    out = logging.StreamHandler(sys.stdout)
    out.setFormatter(_JsonLines())
    ours = logging.getLogger("vizinho")
    # Lambda's runtime puts a handler of its own on the root; a line should come once.
    ours.handlers, ours.propagate = [out], False
    ours.setLevel(logging.INFO)
