"""The contract's errors as answers of a FastAPI app."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from vizinho import errors as core
from vizinho.contract.errors import (
    ApiError,
    bad_field,
    from_core,
    from_system,
    of_status,
    unexpected,
)
from vizinho.contract.values import HINT


class ErrorDetail(BaseModel):
    """What went wrong, for a program and for a person."""

    code: str = Field(description="Stable name of the error, for programs.")
    message: str = Field(description="What is wrong, for a person.")
    hint: str = Field(description="What to do about it; may be empty.")


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


def response(error: ApiError) -> JSONResponse:
    """An error as the answer to send."""
    return JSONResponse(error.body(), error.status, error.headers)


def validation_error(error: RequestValidationError) -> ApiError:
    """A 422 from the first complaint about an address's parameters."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part not in ("query", "path", "body")]
    return bad_field(".".join(path) or "body", str(first["msg"]), HINT)


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` in the one shape."""

    async def api(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return response(error)

    async def of_core(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, core.VizinhoError)
        return response(from_core(error))

    async def of_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return response(of_status(error.status_code, str(error.detail), error.headers))

    async def of_validation(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return response(validation_error(error))

    async def of_system(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)
        told = from_system(error)
        if told is None:
            raise error
        return response(told)

    async def of_anything(_: Request, __: Exception) -> JSONResponse:
        return response(unexpected())

    app.add_exception_handler(ApiError, api)
    app.add_exception_handler(core.VizinhoError, of_core)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(OSError, of_system)
    app.add_exception_handler(Exception, of_anything)
