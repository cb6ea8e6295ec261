"""The page and the documentation: static files, nothing from another host."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

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


def _file(path: Path, *, keep: int = 0) -> Response:
    if not path.is_file():
        raise HTTPException(404)
    cache = f"public, max-age={keep}" if keep else "no-cache"
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": cache})


@router.api_route("/", methods=["GET", "HEAD"])
async def index() -> Response:
    return _file(PAGE / "index.html")


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static(name: str) -> Response:
    # A name has no slash here, and only names that are really in the folder are opened.
    if name not in {path.name for path in PAGE.iterdir()}:
        raise HTTPException(404)
    return _file(PAGE / name)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs() -> Response:
    return _file(PAGE / "docs.html")


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def swagger(name: str) -> Response:
    if name not in _SWAGGER:
        raise HTTPException(404)
    return _file(Path(str(files("fastapi_offline") / "static" / name)), keep=86_400)
