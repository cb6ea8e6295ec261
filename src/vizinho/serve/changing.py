"""What routes that change or begin something share: who may."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from vizinho.contract.errors import ApiError, not_writable, read_only
from vizinho.serve.service import Service

_CORS = "Start the server with --cors and that origin."


def require_writable(request: Request, service: Service) -> None:
    """Raises ApiError (403) where changes are not allowed, or not to the page that asks, or where
    the system does not let this server write. What is packed is left to who asks."""
    if not service.options.writable:
        raise read_only("Start it with --writable, or use vizinho add and vizinho remove.")
    # A form may be posted from any web page without asking; a browser then names that page.
    origin = request.headers.get("origin")
    allowed = origin is None or origin in service.options.cors_origins
    if not allowed and urlsplit(origin).netloc != request.headers.get("host"):
        raise ApiError(
            403,
            "foreign_origin",
            f"Pages of {origin} may not change this gallery.",
            _CORS,
        )
    if service.gallery.changeable and not service.gallery.writable:
        raise not_writable()


def refuse_foreign(request: Request, service: Service) -> None:
    """Raises ApiError (403) where a web page of elsewhere asks for what costs minutes of work.

    It could not read the answer, but a picture's address is enough to begin the work. Only browsers
    say where a request comes from; all other programs may ask.
    """
    site = request.headers.get("sec-fetch-site", "none")
    trusted = {"*", request.headers.get("origin")}.intersection(service.options.cors_origins)
    if site not in ("none", "same-origin") and not trusted:
        raise ApiError(
            403, "foreign_origin", "Pages of another origin may not begin this work.", _CORS
        )
