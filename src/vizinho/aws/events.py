"""Lambda's HTTP events, of three makers in two formats, as one request; and the answer back.

Payload format 1.0 (REST APIs, HTTP APIs where asked for): ``httpMethod``, ``path``, multi-value
headers and parameters. Format 2.0 (HTTP APIs, function URLs): ``requestContext.http``, ``rawPath``,
``rawQueryString``.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from vizinho.contract.errors import ApiError, too_large


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: in capitals.
        paths: where it may be meant to go, percent-encoded, likeliest first: an API's stage, or
            the base path of a domain, may stand before ours or not.
        query: parameters; of one given twice, the last.
        headers: by lower-case name; of one given twice, the last.
        text: the body as it came.
        encoded: whether the body is base64 of what was sent.
        base: the address before our paths, without a slash at the end.
    """

    method: str
    paths: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    text: str
    encoded: bool
    base: str

    def body(self, limit: int, named: int) -> bytes:
        """The body as it was sent; of more than ``limit`` bytes nothing is decoded.

        Raises ApiError: 413 that names ``named`` bytes, 400 for a body that is not base64.
        """
        most = (limit + 2) // 3 * 4 if self.encoded else limit
        if len(self.text) > most:
            raise too_large(named)
        if not self.encoded:
            # Half a surrogate pair, which JSON can spell, is no text and no base64 either.
            return self.text.encode(errors="surrogatepass")
        try:
            return base64.b64decode(self.text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiError(400, "not_base64", "The body is not base64, as it says.") from error


def parse_event(event: object) -> Request:
    """The request in an event. Raises ApiError, 400, for an event of another kind."""
    if isinstance(event, dict):
        context = event.get("requestContext")
        if isinstance(context, dict) and isinstance(context.get("http"), dict):
            return _format_2(event, context)
        if isinstance(event.get("httpMethod"), str) and isinstance(event.get("path"), str):
            return _format_1(event, context if isinstance(context, dict) else {})
    raise ApiError(
        400,
        "not_http",
        "This event is no HTTP request.",
        "Call the function through its URL or an API; or send such an event, of format 1.0 or 2.0.",
    )


def response(
    status: int, headers: Mapping[str, str], body: bytes | dict[str, Any] | None
) -> dict[str, Any]:
    """An answer, good for both formats: a dict goes out as JSON, bytes as base64."""
    answer: dict[str, Any] = {"statusCode": status, "headers": dict(headers)}
    if isinstance(body, dict):
        answer["headers"]["Content-Type"] = "application/json"
        answer["body"] = json.dumps(body, ensure_ascii=False, allow_nan=False)
    else:
        answer["body"] = base64.b64encode(body).decode() if body else ""
    answer["isBase64Encoded"] = isinstance(body, bytes)
    return answer


def _format_1(event: dict[str, Any], context: dict[str, Any]) -> Request:
    headers = _lower(_last(event.get("headers"), event.get("multiValueHeaders")))
    query = _last(event.get("queryStringParameters"), event.get("multiValueQueryStringParameters"))
    path, stage = event["path"], context.get("stage")
    whole = context.get("path")
    # REST APIs leave the stage out of `path` but clients see it; on a domain of one's own it is
    # neither here nor there.
    shown = isinstance(whole, str) and _under(whole, stage)
    return Request(
        event["httpMethod"].upper(),
        _paths(path, stage, event.get("pathParameters")),
        query,
        headers,
        event.get("body") or "",
        bool(event.get("isBase64Encoded")),
        _base(headers, context, stage if shown else None),
    )


def _format_2(event: dict[str, Any], context: dict[str, Any]) -> Request:
    http = context["http"]
    path = event.get("rawPath") or http.get("path") or "/"
    stage = context.get("stage")
    headers = _lower(event.get("headers") or {})
    shown = _under(path, stage)
    return Request(
        str(http.get("method", "")).upper(),
        _paths(path, stage, event.get("pathParameters")),
        dict(parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True)),
        headers,
        event.get("body") or "",
        bool(event.get("isBase64Encoded")),
        _base(headers, context, stage if shown else None),
    )


def _paths(path: str, stage: object, parameters: object) -> tuple[str, ...]:
    found = [path]
    if _under(path, stage):
        found.insert(0, path.removeprefix(f"/{stage}") or "/")
    rest = parameters.get("proxy") if isinstance(parameters, dict) else None
    if isinstance(rest, str):
        found.append(f"/{rest}")
    return tuple(dict.fromkeys(found))


def _under(path: str, stage: object) -> bool:
    return isinstance(stage, str) and f"{path}/".startswith(f"/{stage}/")


def _base(headers: Mapping[str, str], context: Mapping[str, Any], stage: object) -> str:
    host = headers.get("host") or context.get("domainName") or "localhost"
    scheme = headers.get("x-forwarded-proto", "https").partition(",")[0].strip()
    return f"{scheme}://{host}" + (f"/{stage}" if stage else "")


def _last(single: object, many: object) -> dict[str, str]:
    found = dict(single) if isinstance(single, dict) else {}
    if isinstance(many, dict):
        found.update({name: values[-1] for name, values in many.items() if values})
    return {name: str(value) for name, value in found.items() if value is not None}


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in headers.items()}


def keys_of(path: str) -> list[str]:
    """What a percent-encoded path may mean as a key: some gateways have decoded it already."""
    return list(dict.fromkeys([unquote(path), path]))
