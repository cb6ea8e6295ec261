"""Stand-ins for what is around the page on AWS: its host, and a bucket whose links expire.

The host serves a built zip with its ``customHeaders``, as Amplify does. The bucket stands before a
real ``vizinho serve`` and turns its picture paths into links of another origin.
"""

from __future__ import annotations

import io
import json
import mimetypes
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], Answer]) -> Iterator[str]:
    """An HTTP server on a free port of this machine; yields its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_OPTIONS = do_GET  # noqa: N815 (names that http.server looks for)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def headers_for(path: str, rules: str) -> dict[str, str]:
    """What the ``customHeaders`` (YAML) say about a path."""
    return {
        header["key"]: header["value"]
        for rule in yaml.safe_load(rules)["customHeaders"]
        if fnmatchcase(path, rule["pattern"])
        for header in rule["headers"]
    }


def hosted(archive: bytes, rules: str) -> Callable[[BaseHTTPRequestHandler], Answer]:
    """Answers with the files of a zip."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        path = urlsplit(request.path).path
        name = path.lstrip("/") or "index.html"
        if name not in held:
            return 404, {}, b""
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return 200, {"Content-Type": kind, **headers_for(path, rules)}, held[name]

    return answer


class Bucket:
    """Pictures of a server under links that expire: ``?at=N`` is good while N is the present."""

    def __init__(self, server: str) -> None:
        self.server, self.origin, self.now = server, "", 1
        self.refused: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> Answer:
        """The bucket: a picture, or 403 when its link is old."""
        parts = urlsplit(request.path)
        if parts.query != f"at={self.now}":
            self.refused.append(parts.path)
            return 403, {}, b""
        found = httpx.get(f"{self.server}{parts.path}", timeout=60)
        return found.status_code, {"Content-Type": found.headers["content-type"]}, found.content

    def link(self, path: str) -> str:
        return f"{self.origin}{path}?at={self.now}"

    def api(self, request: BaseHTTPRequestHandler) -> Answer:
        """The API before it: the server's answers with links; a picture's path leads to one."""
        parts = urlsplit(request.path)
        if parts.path.startswith("/images/"):
            return 302, {"Location": self.link(parts.path), "Cache-Control": "no-store"}, b""
        sent = request.rfile.read(int(request.headers.get("content-length", 0)))
        kept = ("content-type", "origin", "access-control-request-method")
        kept += ("access-control-request-headers",)
        found = httpx.request(
            request.command,
            f"{self.server}{request.path}",
            content=sent,
            headers={name: request.headers[name] for name in kept if name in request.headers},
            timeout=60,
        )
        body = found.content
        if found.headers["content-type"] == "application/json" and found.is_success:
            told = json.loads(body)
            for each in told.get("results", []) + (told["images"] if "limit" in told else []):
                each["url"] = self.link(each["url"])
            body = json.dumps(told).encode()
        given = {
            name: value
            for name, value in found.headers.items()
            if name.startswith("access-control") or name == "content-type"
        }
        return found.status_code, given, body
