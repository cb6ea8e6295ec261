"""A real HTTP server on this machine that can be told to misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vizinho.datasets.transfer import Patience

QUICK = Patience(timeout=5, attempts=3, pause=0.001)


@dataclass
class Site:
    """A small web site: what it serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_at: list[int] = field(default_factory=list)  # cut the next answers after so many bytes
    statuses: list[int] = field(default_factory=list)  # answer the next requests with these
    ranges: bool = True
    version: str = '"v1"'
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def gets(self) -> list[tuple[str, str | None]]:
        return [(path, range_) for method, path, range_ in self.asked if method == "GET"]


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked = self.headers.get("Range")
            site.asked.append((self.command, self.path, asked))
            content = site.files.get(self.path)
            if body and site.statuses:
                self.send_error(site.statuses.pop(0))
                return
            if content is None:
                self.send_error(404)
                return
            start = 0
            fresh = self.headers.get("If-Range") in (None, site.version)
            if asked and site.ranges and fresh:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", site.version)
            self.end_headers()
            if body:
                end = start + site.break_at.pop(0) if site.break_at else len(content)
                self.wfile.write(content[start:end])

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running_site() -> Iterator[Site]:
    """A site on a free port, stopped at the end."""
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def unused_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
