"""The page and the documentation: static files, nothing from another host."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vizinho.serve.encoding import packed, takes_gzip
from vizinho.serve.routes.images import matches

router = APIRouter(include_in_schema=False)

PAGE = Path(__file__).parents[2] / "page"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
# Swagger UI as the package fastapi-offline carries it; FastAPI's own page takes it from a CDN.
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


def _file(request: Request, path: Path, *, keep: int = 0) -> Response:
    try:
        written = path.stat().st_mtime_ns
    except OSError as error:
        raise HTTPException(404) from error
    body, tag = _read(path, written, takes_gzip(request.headers))
    headers = {
        "Cache-Control": f"public, max-age={keep}" if keep else "no-cache",
        "ETag": tag,
        "Vary": "Accept-Encoding",
    }
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if tag.endswith('-gzip"'):
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=_TYPES[path.suffix], headers=headers)


@lru_cache(maxsize=200)
def _read(path: Path, written: int, pack: bool) -> tuple[bytes, str]:
    """A file, packed if that is wanted, and its tag; read anew when ``written`` has changed."""
    data = path.read_bytes()
    tag = sha256(data).hexdigest()[:20]
    return (packed(data), f'"{tag}-gzip"') if pack else (data, f'"{tag}"')


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    return _file(request, PAGE / "index.html")


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static(request: Request, name: str) -> Response:
    # A name has no slash here, and only names that are really in the folder are opened.
    if name not in {path.name for path in PAGE.iterdir()}:
        raise HTTPException(404)
    return _file(request, PAGE / name)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    return _file(request, PAGE / "docs.html")


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def swagger(request: Request, name: str) -> Response:
    if name not in _SWAGGER:
        raise HTTPException(404)
    return _file(request, Path(str(files("fastapi_offline") / "static" / name)), keep=86_400)
