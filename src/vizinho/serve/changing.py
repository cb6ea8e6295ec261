"""What routes that change or begin something share: who may."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from vizinho.contract.errors import ApiError, not_writable, read_only
from vizinho.serve.service import Service

_CORS = "Start the server with --cors and that origin."
# How the Accept of a browser begins that is to show something; its other requests say */* alone.
_SHOWN = ("image/", "text/html", "text/css", "video/", "audio/")


def require_writable(request: Request, service: Service) -> None:
    """Raises ApiError (403) where changes are not allowed, or not to the page that asks, or where
    the system does not let this server write. What is packed is left to who asks."""
    if not service.options.writable:
        raise read_only("Start it with --writable, or use vizinho add and vizinho remove.")
    # A form may be posted from any web page without asking; a browser then names that page.
    origin = request.headers.get("origin")
    allowed = origin is None or origin in service.options.cors_origins
    if not allowed and not _is_own(str(origin), request):
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

    Over plain http in a local network browsers send no Sec-Fetch-Site. Then Origin or Referer
    tells; where a page keeps those back, what it shows as a picture, a frame, a style or a film is
    told by what it accepts. Not covered is what accepts anything, as programs and this server's
    page do: a foreign script's address, or a fetch that asks for no answer, can begin the work.
    """
    trusted = service.options.cors_origins
    headers = request.headers
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in ("none", "same-origin")
    elif origin := origin or _origin(headers.get("referer", "")):
        foreign = not _is_own(origin, request)
    else:
        foreign = headers.get("accept", "").lstrip().lower().startswith(_SHOWN)
    if foreign and not {"*", origin}.intersection(trusted):
        raise ApiError(
            403, "foreign_origin", "Pages of another origin may not begin this work.", _CORS
        )


def _is_own(origin: str, request: Request) -> bool:
    """Whether an Origin is this server's, as whoever asks calls it."""
    return origin.partition("://")[2] == request.headers.get("host")


def _origin(address: str) -> str:
    """Scheme and host of a Referer, "" where there is none, the whole where it is no address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    return f"{parts.scheme}://{parts.netloc}" if address else ""
