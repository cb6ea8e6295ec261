"""The events that AWS makes of an HTTP request, in full: REST API, HTTP API and function URL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Event = dict[str, Any]
Maker = Callable[..., Event]

REST_HOST = "wt6mne2s9k.execute-api.eu-west-1.amazonaws.com"
HTTP_HOST = "r3pmxmplak.execute-api.eu-west-1.amazonaws.com"
URL_HOST = "ft2hq3kkyxmpljnjj5wnfhqnwq0xmpls.lambda-url.eu-west-1.on.aws"
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


def rest_api(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    binary: bool | None = None,
    stage: str = "prod",
) -> Event:
    """A REST API's proxy event, payload format 1.0, as ``{proxy+}`` under a stage gets it."""
    parts = urlsplit(url)
    sent = {"Host": REST_HOST, "X-Forwarded-Proto": "https", "User-Agent": "curl/8.5.0"}
    sent |= {name.title(): value for name, value in (headers or {}).items()}
    many = parse_qs(parts.query, keep_blank_values=True) or None
    text, encoded = _body(body, sent.get("Content-Type", ""), binary)
    return {
        "resource": "/{proxy+}" if parts.path != "/" else "/",
        "path": parts.path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": many and {name: each[-1] for name, each in many.items()},
        "multiValueQueryStringParameters": many,
        "pathParameters": {"proxy": unquote(parts.path[1:])} if parts.path != "/" else None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "2gxmpl",
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "extendedRequestId": "JJbxmplHYosFVYQ=",
            "requestTime": "23/Nov/2026:21:00:03 +0000",
            "path": f"/{stage}{parts.path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "domainPrefix": REST_HOST.partition(".")[0],
            "requestTimeEpoch": 1795467603125,
            "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
            "identity": {"sourceIp": "52.255.255.12", "userAgent": "curl/8.5.0", "user": None},
            "domainName": REST_HOST,
            "apiId": REST_HOST.partition(".")[0],
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


def http_api(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    binary: bool | None = None,
    stage: str = "$default",
) -> Event:
    """An HTTP API's event, payload format 2.0; ``rawPath`` begins with a stage that has a name."""
    event = function_url(method, url, headers=headers, body=body, binary=binary)
    path = unquote(urlsplit(url).path)
    path = path if stage == "$default" else f"/{stage}{path}"
    event["headers"]["host"] = HTTP_HOST
    event["rawPath"] = path
    event["pathParameters"] = {"proxy": path[1:]}
    context = event["requestContext"]
    context |= {"stage": stage, "domainName": HTTP_HOST, "apiId": HTTP_HOST.partition(".")[0]}
    context["domainPrefix"] = context["apiId"]
    context["http"]["path"] = path
    return event


def function_url(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    binary: bool | None = None,
) -> Event:
    """A function URL's event, payload format 2.0; its ``rawPath`` is as the client sent it."""
    parts = urlsplit(url)
    sent = {
        "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
        "x-amzn-tls-version": "TLSv1.3",
        "x-amzn-trace-id": "Root=1-69234f13-6dd2xmpl0a1b2c3d4e5f6071",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
        "x-forwarded-for": "52.255.255.12",
        "host": URL_HOST,
        "accept": "*/*",
        "user-agent": "curl/8.5.0",
    }
    sent |= {name.lower(): value for name, value in (headers or {}).items()}
    text, encoded = _body(body, sent.get("content-type", ""), binary)
    query = {name: ",".join(each) for name, each in parse_qs(parts.query).items()}
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": sent,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_HOST.partition(".")[0],
            "domainName": URL_HOST,
            "domainPrefix": URL_HOST.partition(".")[0],
            "http": {
                "method": method,
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "52.255.255.12",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "23/Nov/2026:21:00:03 +0000",
            "timeEpoch": 1795467603125,
        },
        "isBase64Encoded": encoded,
    }
    if query:
        event["queryStringParameters"] = query
    if text is not None:
        event["body"] = text
    return event


MAKERS: dict[str, Maker] = {
    "rest-api": rest_api,
    "http-api": http_api,
    "http-api-stage": lambda *given, **more: http_api(*given, stage="dev", **more),
    "function-url": function_url,
}
"""Every way in; a REST API is meant with ``*/*`` among its binary media types."""


def json_of(answer: Mapping[str, Any]) -> Any:
    """The JSON that a handler answered."""
    assert answer["headers"]["Content-Type"] == "application/json"
    assert not answer["isBase64Encoded"]
    return json.loads(answer["body"])


def _body(body: bytes, kind: str, binary: bool | None) -> tuple[str | None, bool]:
    if not body:
        return None, False
    if binary is None:
        binary = not kind.startswith(_TEXT)
    return (base64.b64encode(body).decode(), True) if binary else (body.decode(), False)
