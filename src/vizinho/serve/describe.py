"""What ``/openapi.json`` says, made true for every route at once.

Routes whose bodies the contract checks bring the schema of a pydantic model along, and middleware
answers for all of them; FastAPI knows of neither.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

_REF = "#/components/schemas/"
_ERROR = f"{_REF}ErrorBody"
# What FastAPI would answer to a wrong parameter; here it is an error like all others.
_NOT_OURS = ("HTTPValidationError", "ValidationError")
_OF_BODIES = {
    "400": "The body can't be read.",
    "413": "More bytes or pixels than allowed.",
    "422": "A field makes no sense; the message names it.",
}
_BUSY = "Too much is waiting, or the gallery is out of reach; `Retry-After` says when to try."


class DescribedApp(FastAPI):
    """A FastAPI app whose description tells what `finished` adds."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = finished(super().openapi())
        return self.openapi_schema


def finished(description: dict[str, Any]) -> dict[str, Any]:
    """The description with schemas in their place, and with the errors that any route may answer.

    It is changed in place.
    """
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for path, operations in description["paths"].items():
        for operation in operations.values():
            _hoist(operation, schemas)
            responses = operation["responses"]
            if "requestBody" in operation:
                for status, what in _OF_BODIES.items():
                    responses.setdefault(status, _error(what))
            # It must answer however busy the rest is.
            if path != "/health":
                responses.setdefault("503", _error(_BUSY))
            wrong = responses.get("422", {}).get("content", {}).get("application/json", {})
            if wrong.get("schema", {}).get("$ref") == f"{_REF}HTTPValidationError":
                responses["422"] = _error("A parameter makes no sense; the message names it.")
    for name in _NOT_OURS:
        schemas.pop(name, None)
    return description


def _error(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _ERROR}}}
    return {"description": description, "content": content}


def _hoist(node: Any, schemas: dict[str, Any]) -> None:
    """Move the ``$defs`` of inlined schemas to where references of the document are looked up."""
    if isinstance(node, list):
        for each in node:
            _hoist(each, schemas)
        return
    if not isinstance(node, dict):
        return
    for name, schema in node.pop("$defs", {}).items():
        _hoist(schema, schemas)
        schemas.setdefault(name, schema)
    reference = node.get("$ref")
    if isinstance(reference, str):
        node["$ref"] = reference.replace("#/$defs/", _REF)
    for each in node.values():
        _hoist(each, schemas)


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The description of a body that the contract checks itself."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def form_body(fields: dict[str, dict[str, Any]], *, required: list[str]) -> dict[str, Any]:
    """The description of a multipart form; its fields as JSON schemas."""
    schema = {"type": "object", "properties": fields, "required": required}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def either_body(form: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The description of a multipart form, as a JSON schema, or else a JSON body."""
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": model.model_json_schema()},
    }
    return {"requestBody": {"required": True, "content": content}}
