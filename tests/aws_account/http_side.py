"""The HTTP server that all parts of the emulated account share: a request in, an answer out."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

MAX_BODY = 300_000_000


@dataclass
class Request:
    """What a client sent; header names are in lower case, ``path`` is decoded, ``raw`` is not."""

    method: str
    raw: str
    headers: dict[str, str]
    body: bytes
    sent_headers: list[tuple[str, str]] = field(default_factory=list)
    client: str = "127.0.0.1"

    @property
    def path(self) -> str:
        return unquote(self.raw.partition("?")[0])

    @property
    def query(self) -> str:
        return self.raw.partition("?")[2]

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of_json(cls, status: int, content: Any, **headers: str) -> Answer:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return cls(
            status,
            json.dumps(content).encode(),
            [("Content-Type", "application/json"), *named],
        )

    @classmethod
    def of_text(cls, status: int, content: str, kind: str) -> Answer:
        return cls(status, content.encode(), [("Content-Type", kind)])

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def without(self, *names: str) -> Answer:
        """The same answer less these headers (given in lower case)."""
        kept = [(n, v) for n, v in self.headers if n.lower() not in names]
        return Answer(self.status, self.body, kept)


def s3_error(status: int, code: str, message: str, **more: str) -> Answer:
    """An error as S3 says it."""
    extra = "".join(f"<{name}>{value}</{name}>" for name, value in more.items())
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>"
    return Answer.of_text(
        status, f'<?xml version="1.0" encoding="UTF-8"?>{text}', "application/xml"
    )


class Listener:
    """A server on a port of this machine, in threads of this process, until `close`."""

    def __init__(
        self, answer: Callable[[Request], Answer], certificate: tuple[str, str] | None = None
    ) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake belongs into the connection's own thread, not into the accepting one.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Callable[[Request], Answer]
    timeout = 120

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(min(length, MAX_BODY))
        sent = list(self.headers.items())
        request = Request(
            self.command,
            self.path,
            {name.lower(): value for name, value in sent},
            body,
            sent,
            self.client_address[0],
        )
        try:
            answer = type(self).answer(request)
        except Exception as error:  # the client must hear of it, whatever it is
            answer = Answer.of_json(500, {"message": f"emulated account: {error!r}"})
            import traceback

            traceback.print_exc()
        self._send(answer)

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        for name, value in answer.headers:
            lower = name.lower()
            if lower in ("connection", "transfer-encoding"):
                continue
            if lower == "content-length" and not bodiless:
                continue
            self.send_header(name, value)
        if not bodiless:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if not bodiless:
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a test's output is for the test."""

    def handle(self) -> None:
        # A client that was killed hangs up in the middle; that is its own affair.
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True


def header_map(headers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Headers as a function returns them, as a list."""
    return [(name, str(value)) for name, value in headers.items()]
