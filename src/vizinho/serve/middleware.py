"""What happens to every request: size limit, security headers, counters, access log.

Plain ASGI, because Starlette's ``BaseHTTPMiddleware`` puts a task and a queue around each answer.
"""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vizinho.contract.answers import DATA_POLICY, SECURITY_HEADERS
from vizinho.contract.errors import too_large
from vizinho.serve.errors import response
from vizinho.serve.metrics import Metrics

access = logging.getLogger("vizinho.access")

# Asked for by machines or by the page itself; a line for each would drown the searches.
_QUIET = ("/health", "/metrics", "/images/", "/static/", "/docs/")

# Nothing but this server's own files; no inline script or style, no frame, no form target.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)
# Swagger UI writes style attributes and parses markup; it is kept to its own address.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class BodyLimit:
    """Stop reading a request body that grows past ``limit`` bytes: 413, nothing decoded."""

    def __init__(self, app: ASGIApp, *, limit: int, named: int) -> None:
        self.app, self.limit, self.named = app, limit, named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.limit:
            await response(too_large(self.named))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise too_large(self.named)
            return message

        await self.app(scope, counted, send)


class SecurityHeaders:
    """Headers that keep a browser from guessing, framing or telling others."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        policy = PAGE_POLICY if path == "/" else DATA_POLICY
        if path == "/docs":
            policy = DOCS_POLICY
        added = [
            (b"content-security-policy", policy.encode()),
            *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
        ]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_headers)


class Account:
    """Count and time each request, and write its line in the access log."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status, sent = 500, 0

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._write(scope, status, sent, time.perf_counter() - start)

    def _write(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        path: str = scope["path"]
        quiet = status < 400 and path.startswith(_QUIET)
        # Quoted, so that a path can't write a line of its own into the log.
        access.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s %s %d %.1f ms %d B",
            method,
            quote(path),
            status,
            seconds * 1000,
            sent,
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
