"""Every error as one JSON shape: ``{"error": {"code", "message", "hint"}}``."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vizinho import errors as core
from vizinho.blobs import FULL

log = logging.getLogger("vizinho.contract")

RETRY_SECONDS = 1
DOCS = "{docs}"
"""Stands in a hint for where the API is described, which whoever sends the error knows."""

_CORE: dict[type[core.VizinhoError], tuple[int, str]] = {
    core.NotAnImage: (415, "not_an_image"),
    core.UnreadableImage: (400, "unreadable_image"),
    core.ImageTooLarge: (413, "image_too_large"),
    core.KeyNotFound: (404, "key_not_found"),
    core.SettingsError: (422, "bad_field"),
    core.NotExplainable: (409, "not_explainable"),
    core.FingerprintMismatch: (409, "fingerprint_mismatch"),
    core.GalleryBusy: (503, "gallery_busy"),
    core.GalleryNotFound: (503, "gallery_not_found"),
    core.GalleryUnreachable: (503, "gallery_unreachable"),
    core.SourceError: (503, "source_unreachable"),
}

_HTTP: dict[int, tuple[str, str, str]] = {
    404: (
        "not_found",
        "There is nothing at this address.",
        f"The addresses are listed {DOCS}.",
    ),
    405: (
        "method_not_allowed",
        "This address does not take that method.",
        f"The methods it takes are in the Allow header and {DOCS}.",
    ),
}


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

    def body(self, docs: str = "at /docs") -> dict[str, Any]:
        """This error as the JSON to send; ``docs`` says where the API is described."""
        hint = self.hint.replace(DOCS, docs)
        return {"error": {"code": self.code, "message": self.message, "hint": hint}}


def bad_field(field: str, message: str, hint: str = "") -> ApiError:
    """A 422 that names the field."""
    # A name as it came may hold half a surrogate pair, which no answer could be written with.
    field = field.encode(errors="replace").decode()
    return ApiError(422, "bad_field", f"{field}: {message}", hint)


def too_large(limit: int) -> ApiError:
    """A 413 that names the limit, in bytes."""
    return ApiError(
        413,
        "too_large",
        f"The upload is larger than {limit / 1e6:.3g} MB.",
        "Send a smaller picture: 512 pixels on the longest side are plenty.",
    )


def key_not_found(key: str = "") -> ApiError:
    """A 404 for a picture."""
    named = f"called {key}" if key else "of that key"
    return ApiError(404, "key_not_found", f"The gallery holds no picture {named}.")


def read_only(hint: str) -> ApiError:
    """A 403 for a change to a gallery that is only served."""
    return ApiError(403, "read_only", "This server does not let the gallery be changed.", hint)


def not_writable() -> ApiError:
    """A 403 for a change where the system does not let the server write."""
    return ApiError(
        403,
        "read_only",
        "The server may not write to the gallery's folder.",
        "Whoever runs the server can see who owns the folder, and whether its disk is read-only.",
    )


def disk_full() -> ApiError:
    """A 507 for what there is no room for."""
    return ApiError(
        507,
        "disk_full",
        "The server's disk is full. Nothing was half-written.",
        "Free some space on the server, then try again.",
    )


def image_url_off() -> ApiError:
    """A 403 for a picture to be fetched from the web."""
    return ApiError(
        403,
        "image_url_off",
        "This server does not fetch pictures from the web.",
        "Send the picture itself, as image or image_base64.",
    )


def unsupported_body(kind: str) -> ApiError:
    """A 415 for a search whose body is neither a form nor JSON."""
    return ApiError(
        415,
        "unsupported_media_type",
        f"A body of type {kind or 'nothing'} can't be searched with.",
        "Send multipart/form-data with a file named image, or JSON.",
    )


def bad_form(reason: str) -> ApiError:
    """A 400 for a multipart body that can't be taken apart."""
    return ApiError(400, "bad_form", f"The form can't be read: {reason}")


def from_core(error: core.VizinhoError) -> ApiError:
    """The HTTP face of an error of the core.

    Of trouble with the disk the log names the file, in one line, and the answer does not.
    """
    if isinstance(error, core.DiskFull | core.NotWritable):
        log.error("%s", error)
        return disk_full() if isinstance(error, core.DiskFull) else not_writable()
    for kind, (status, code) in _CORE.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
            return ApiError(status, code, error.message, error.hint, headers)
    cause = error.__cause__
    if isinstance(cause, OSError | sqlite3.Error) and not isinstance(error, core.GalleryDamaged):
        log.error("%s", error)
        reason = (cause.strerror or cause) if isinstance(cause, OSError) else cause
        told = f"The server's disk refuses: {str(reason).rstrip('.')}."
        return ApiError(500, "gallery_error", told, "The server's log names the file.")
    log.error("%s", error, exc_info=error)
    return ApiError(500, "gallery_error", error.message, error.hint)


def from_system(error: OSError) -> ApiError | None:
    """The HTTP face of the system's word that there is no room; None for any other error."""
    if error.errno not in FULL:
        return None
    log.error("%s", error)
    return disk_full()


def placeless(text: str, folder: Path) -> str:
    """``text`` without where ``folder`` and temporary files are on this machine, which is for the
    log alone."""
    # A relative folder and the root are no places that tell anything.
    places = [folder, folder.parent, Path(tempfile.gettempdir())]
    for place in (each for each in places if each.is_absolute() and each.name):
        text = text.replace(f"{place}/", "")
    return text


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> ApiError:
    """The one shape for an address or a method that is not there."""
    code, message, hint = _HTTP.get(status) or ("bad_request", detail, "")
    return ApiError(status, code, message, hint, headers)


def unexpected() -> ApiError:
    """A 500 that gives nothing of the inside away."""
    return ApiError(
        500,
        "internal_error",
        "Something broke on the server.",
        "It is in the server's log. Trying again may help.",
    )
