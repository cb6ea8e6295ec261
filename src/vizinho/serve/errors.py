"""Every error as one JSON shape: ``{"error": {"code", "message", "hint"}}``."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from vizinho import errors as core

log = logging.getLogger("vizinho.serve")

RETRY_SECONDS = 1

_CORE: dict[type[core.VizinhoError], tuple[int, str]] = {
    core.NotAnImage: (415, "not_an_image"),
    core.UnreadableImage: (400, "unreadable_image"),
    core.ImageTooLarge: (413, "image_too_large"),
    core.KeyNotFound: (404, "key_not_found"),
    core.SettingsError: (422, "bad_field"),
    core.FingerprintMismatch: (409, "fingerprint_mismatch"),
    core.GalleryBusy: (503, "gallery_busy"),
    core.GalleryNotFound: (503, "gallery_not_found"),
}

_HTTP: dict[int, tuple[str, str, str]] = {
    404: ("not_found", "There is nothing at this address.", "The addresses are listed at /docs."),
    405: (
        "method_not_allowed",
        "This address does not take that method.",
        "The methods it takes are in the Allow header and at /docs.",
    ),
}


class ErrorDetail(BaseModel):
    """What went wrong, for a program and for a person."""

    code: str = Field(description="Stable name of the error, for programs.")
    message: str = Field(description="What is wrong, for a person.")
    hint: str = Field(description="What to do about it; may be empty.")


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class ApiError(Exception):
    """A request that can't be answered.

    ``status`` is the HTTP status, ``code`` a stable name for programs, ``message`` and ``hint``
    are sentences for a person.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """This error as the answer to send."""
        detail = {"code": self.code, "message": self.message, "hint": self.hint}
        return JSONResponse({"error": detail}, self.status, self.headers)


def bad_field(field: str, message: str, hint: str = "") -> ApiError:
    """A 422 that names the field."""
    return ApiError(422, "bad_field", f"{field}: {message}", hint)


def too_large(limit: int) -> ApiError:
    """A 413 that names the limit, in bytes."""
    return ApiError(
        413,
        "too_large",
        f"The upload is larger than {limit / 1e6:.3g} MB.",
        "Send a smaller picture: 512 pixels on the longest side are plenty.",
    )


def validation_error(error: ValidationError | RequestValidationError) -> ApiError:
    """A 422 from pydantic's first complaint."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part not in ("query", "path", "body")]
    message = str(first["msg"]).removeprefix("Value error, ")
    return bad_field(".".join(path) or "body", message, "The fields are described at /docs.")


def from_core(error: core.VizinhoError) -> ApiError:
    """The HTTP face of an error of the core."""
    for kind, (status, code) in _CORE.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
            return ApiError(status, code, error.message, error.hint, headers)
    log.error("%s", error, exc_info=error)
    return ApiError(500, "gallery_error", error.message, error.hint)


def from_http(error: HTTPException) -> ApiError:
    """The one shape for what the framework itself refuses."""
    known = _HTTP.get(error.status_code)
    code, message, hint = known or ("bad_request", str(error.detail), "")
    return ApiError(error.status_code, code, message, hint, error.headers)


def unexpected() -> ApiError:
    """A 500 that gives nothing of the inside away."""
    return ApiError(
        500,
        "internal_error",
        "Something broke on the server.",
        "It is in the server's log. Trying again may help.",
    )


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` in the one shape."""

    async def api(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error.response()

    async def of_core(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, core.VizinhoError)
        return from_core(error).response()

    async def of_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return from_http(error).response()

    async def of_validation(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ValidationError | RequestValidationError)
        return validation_error(error).response()

    async def of_anything(_: Request, __: Exception) -> JSONResponse:
        return unexpected().response()

    app.add_exception_handler(ApiError, api)
    app.add_exception_handler(core.VizinhoError, of_core)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(ValidationError, of_validation)
    app.add_exception_handler(Exception, of_anything)
