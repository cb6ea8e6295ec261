"""Function URLs and HTTP APIs: real HTTP turned into events, and answers into HTTP.

A stand-in for the two services. Events follow AWS's documents for payload formats 1.0 and 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
A function that has not been given the permission to be called is not called.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aws_account.http_side import Answer, Request, header_map

if TYPE_CHECKING:
    from aws_account.functions import Functions

MAX_REQUEST = 6 * 1024 * 1024
MAX_ANSWER = 6 * 1024 * 1024
_TEXT = ("application/json", "application/xml", "application/javascript", "text/")


class Entrance:
    """One function URL (``url``) or HTTP API (``http``)."""

    def __init__(
        self, functions: Functions, kind: str, target: str, version: str, settings: dict[str, Any]
    ) -> None:
        self.functions = functions
        self.kind = kind
        self.target = target
        self.format = version
        self.settings = settings
        self.host = ""
        self.latest: dict[str, Any] = {}
        """The last event that was made."""

    def answer(self, request: Request) -> Answer:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        self.latest = event_of(request, self.format, self.host)
        try:
            found = self.functions.invoke(self.target, self.latest)
        except Exception as error:
            return Answer.of_json(502, {"message": f"Internal Server Error ({error})"})
        return http_of(found)

    def _refusal(self, request: Request) -> Answer | None:
        if not self.target:
            return Answer.of_json(404, {"message": "Not Found"})
        if len(request.body) > MAX_REQUEST:
            return Answer.of_json(413, {"message": "Request Entity Too Large"})
        function, _ = self.functions.resolve(self.target)
        granted = list(function.permissions.values())
        if self.kind == "http":
            asked = [g for g in granted if g["Principal"] == "apigateway.amazonaws.com"]
            if not any(g["Action"] == "lambda:InvokeFunction" for g in asked):
                return Answer.of_json(500, {"message": "Internal Server Error"})
            return None
        # Since October 2025 an open URL needs both.
        open_to_all = [g for g in granted if g["Principal"] == "*"]
        actions = {
            g["Action"]
            for g in open_to_all
            if g.get("FunctionUrlAuthType") == "NONE" or g.get("InvokedViaFunctionUrl")
        }
        if self.settings.get("AuthType") != "NONE" or actions != {
            "lambda:InvokeFunctionUrl",
            "lambda:InvokeFunction",
        }:
            return Answer.of_json(403, {"Message": "Forbidden"})
        return None


def event_of(request: Request, version: str, host: str) -> dict[str, Any]:
    """The event that a function is called with."""
    kind = request.headers.get("content-type", "")
    binary = bool(request.body) and not kind.startswith(_TEXT)
    body: str | None = None
    if request.body:
        body = base64.b64encode(request.body).decode() if binary else request.body.decode()
    return (_version_2 if version == "2.0" else _version_1)(request, host, body, binary)


def _version_2(request: Request, host: str, body: str | None, binary: bool) -> dict[str, Any]:
    headers = {**request.headers, "x-forwarded-for": request.client, "x-forwarded-proto": "https"}
    cookies = headers.pop("cookie", "")
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "emulated",
            "domainName": host,
            "domainPrefix": "emulated",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": secrets.token_hex(8),
            "routeKey": "$default",
            "stage": "$default",
            "time": datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": binary,
    }
    if query:
        event["queryStringParameters"] = query
    if cookies:
        event["cookies"] = [each.strip() for each in cookies.split(";")]
    if body is not None:
        event["body"] = body
    return event


def _version_1(request: Request, host: str, body: str | None, binary: bool) -> dict[str, Any]:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    several: dict[str, list[str]] = {}
    for name, value in pairs:
        several.setdefault(name, []).append(value)
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(request.sent_headers),
        "multiValueHeaders": {name: [value] for name, value in request.sent_headers},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": several or None,
        "requestContext": {
            "domainName": host,
            "httpMethod": request.method,
            "path": request.path,
            "identity": {"sourceIp": request.client},
            "requestId": secrets.token_hex(8),
            "stage": "$default",
        },
        "pathParameters": None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": binary,
    }


def http_of(found: Mapping[str, Any]) -> Answer:
    """A function's answer as HTTP; what is no answer is a 502, as at AWS."""
    if "errorMessage" in found or "statusCode" not in found:
        return Answer.of_json(502, {"message": "Internal Server Error"})
    if len(json.dumps(found)) > MAX_ANSWER:
        return Answer.of_json(502, {"message": "Internal Server Error"})
    body = found.get("body") or ""
    data = base64.b64decode(body) if found.get("isBase64Encoded") else body.encode()
    headers = header_map(found.get("headers") or {})
    for name, values in (found.get("multiValueHeaders") or {}).items():
        headers = [h for h in headers if h[0].lower() != name.lower()]
        headers += [(name, value) for value in values]
    headers += [("Set-Cookie", cookie) for cookie in found.get("cookies") or []]
    return Answer(int(found["statusCode"]), data, headers)
