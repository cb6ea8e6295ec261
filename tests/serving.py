"""A gallery of generated pictures, and a real server over it in a process of its own."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from toys import encode, make_toy_bundle, noise
from vizinho.gallery import Gallery, NewImage

LABELS = ("azulejo", "barco", "calçada", "doce")
COUNT = 40
LIMIT = 300_000
"""Bytes a picture may have, where a test sets a limit."""
SOURCE = Path(__file__).resolve().parents[1] / "src"

_MAIN = """
import json, sys
from pathlib import Path
from vizinho.serve.options import ServeOptions
from vizinho.serve.run import run
given = json.loads(sys.argv[2])
for name in ("cors_origins", "image_url_hosts"):
    given[name] = tuple(given.get(name, ()))
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(message)s")
run(Path(sys.argv[1]), port=0, options=ServeOptions(**given),
    on_ready=lambda url: print(url, flush=True))
"""


def key_of(number: int) -> str:
    """Keys as folders give them: a space and a letter outside ASCII in some."""
    return f"test/{number:05d}.png" if number % 10 else f"férias 1/{number:05d}.png"


def picture(number: int) -> bytes:
    """The encoded picture behind ``key_of(number)``."""
    return encode(noise(number))


def make_gallery(folder: Path, count: int = COUNT, *, model: Path | None = None) -> Path:
    """A gallery of ``count`` generated 32 x 32 pictures with labels; by default under the toy
    model."""
    path = folder / "shown.vizinho"
    items = [
        NewImage(
            picture(number),
            key=key_of(number),
            label=LABELS[number % len(LABELS)],
            metadata={"number": number},
            store=True,
        )
        for number in range(count)
    ]
    with Gallery.create(path, model=model or make_toy_bundle(folder)) as gallery:
        report = gallery.add(items)
    assert report.added == count
    return path


def slow_picture() -> bytes:
    """Few bytes that take long to decode: 12 megapixels of one colour."""
    return encode(Image.new("RGB", (4000, 3000), (200, 30, 30)))


def large_photo(width: int = 2400, height: int = 1600) -> bytes:
    """A JPEG of several megabytes, as a phone makes them."""
    grain = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def upload(data: bytes, name: str = "a.png") -> dict[str, Any]:
    return {"files": {"image": (name, data)}}


def problem(response: Any, status: int, code: str) -> dict[str, str]:
    """The error of an answer, checked to be of the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    return dict(body["error"])


class Server:
    """A server in a process of its own, on a free port of this machine."""

    def __init__(self, gallery: Path, **options: Any) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(gallery), json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.process.wait(10)
            self._reader.join(10)
            raise AssertionError("the server did not start:\n" + "".join(self.log))
        # One for all: building a client takes longer than a search.
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.host, port = self.url.removeprefix("http://").split(":")
        self.port = int(port)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def stop(self, sign: signal.Signals = signal.SIGTERM, timeout: float = 120) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        code = self.process.wait(timeout)
        self.client.close()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@contextmanager
def running(gallery: Path, **options: Any) -> Iterator[Server]:
    """A server for the length of a ``with`` block."""
    server = Server(gallery, **options)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
