"""What routes that change something share: who may, and how their bodies are described."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import BaseModel

from vizinho.contract.errors import ApiError, read_only
from vizinho.serve.service import Service


def require_writable(request: Request, service: Service) -> None:
    """Raises ApiError (403) where changes are not allowed, or not to the page that asks."""
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


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The description of a body that the contract checks itself."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def form_body(fields: dict[str, dict[str, Any]], *, required: list[str]) -> dict[str, Any]:
    """The description of a multipart form; its fields as JSON schemas."""
    schema = {"type": "object", "properties": fields, "required": required}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
