"""Is a gallery better carried by its function or fetched from S3, and up to which size?

``python benchmarks/cloud_gallery.py`` packs made-up galleries (clustered vectors, the shipped
model), then starts a process again and again that opens one and answers one query: from a folder
that lies there already, its files in the page cache or dropped from it, and fetched first from a
local HTTP server of a fixed rate. The last line is JSON; times are from ``exec`` to the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from common import ROOT, as_jpeg, last_line, machine, pin

sys.path.insert(0, str(ROOT / "tests"))

CLUSTERS = 200
CHILD = """
import sys, time
from pathlib import Path
sys.modules["faiss"] = None  # a function carries none
place, picture = sys.argv[1], Path(sys.argv[2]).read_bytes()
started = time.perf_counter()
if place.startswith("s3://"):
    from vizinho.aws.remote import fetch_gallery
    place = fetch_gallery(place, sys.argv[3])
fetched = time.perf_counter()
from vizinho.gallery.view import GalleryView
gallery = GalleryView.open(place)
opened = time.perf_counter()
answer = gallery.search(picture, k=10)
answered = time.time()
warm = []
for _ in range(5):
    start = time.perf_counter()
    gallery.search(picture, k=10)
    warm.append(time.perf_counter() - start)
status = dict(line.split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
import json, os
print(json.dumps({
    "answered": answered, "fetch_seconds": fetched - started, "open_seconds": opened - fetched,
    "warm_seconds": sorted(warm)[2], "cpu_seconds": time.process_time(),
    **{name: int(status[name].split()[0]) for name in ("VmHWM", "RssAnon", "RssFile")},
    "results": len(answer),
}))
"""


class Synthetic:
    """An engine of made-up rows and vectors that holds none of them."""

    name = "embedded"

    def __init__(self, count: int, dimension: int) -> None:
        self._count = count
        self._centres = np.random.default_rng(0).normal(0, 1, (CLUSTERS, dimension))

    def count(self) -> int:
        return self._count

    def scan(self, offset: int, limit: int, label: str | None = None) -> list[Any]:
        from vizinho.engines import Row

        rng = np.random.default_rng(offset)
        rows = []
        for number in range(offset, min(offset + limit, self._count)):
            digest = rng.bytes(32).hex()
            url = f"s3://vizinho-photos-123456789012/images/{digest[:2]}/{digest}.jpg"
            rows.append(Row(f"photos/{number:07d}.jpg", url, digest, f"class {number % 10}"))
        return rows

    def vectors(self, keys: Sequence[str]) -> np.ndarray:
        rng = np.random.default_rng(len(keys) + int(keys[0][7:14]))
        near = self._centres[rng.integers(0, CLUSTERS, len(keys))]
        return (near + rng.normal(0, 0.3, near.shape)).astype(np.float32)

    def close(self) -> None:
        pass


def made(count: int, dimension: int, folder: Path) -> tuple[Path, int, float]:
    """A packed gallery of ``count`` made-up pictures, its bytes, and the seconds packing took."""
    from vizinho.gallery import Gallery, GalleryView
    from vizinho.gallery.pack import pack

    source = folder / "source.vizinho"
    with Gallery.create(source, overwrite=True) as gallery:
        about = gallery.about
    assert about.dimension == dimension
    view = GalleryView(source, about, Synthetic(count, dimension))
    start = time.perf_counter()
    info = pack(view, folder / f"{count}.vizinho", lambda row: row.url)
    return folder / f"{count}.vizinho", info.bytes, time.perf_counter() - start


class Slow(ThreadingHTTPServer):
    """Answers GETs from files below a folder, all connections together at ``rate`` bytes/s."""

    daemon_threads = True

    def __init__(self, root: Path, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root, self.rate = root, rate
        self._free_at, self._turn = 0.0, threading.Lock()

    def wait_for(self, size: int) -> None:
        with self._turn:
            self._free_at = max(self._free_at, time.perf_counter()) + size / self.rate
            pause = self._free_at - time.perf_counter()
        time.sleep(max(0.0, pause))


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Slow

    def do_GET(self) -> None:
        path = self.server.root / self.path.split("?")[0].strip("/").partition("/")[2]
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(asked[1]), int(asked[2]) + 1) if asked else (0, size)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            while start < stop:
                data = file.read(min(256 * 1024, stop - start))
                self.server.wait_for(len(data))
                self.wfile.write(data)
                start += len(data)

    def log_message(self, *_: Any) -> None:
        pass


def drop_from_cache(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def start(place: str, picture: Path, disk: Path) -> dict[str, float]:
    began = time.time()
    arguments = [sys.executable, "-c", CHILD, place, str(picture), str(disk)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    assert figures.pop("results") == 10
    figures["first_answer_seconds"] = figures.pop("answered") - began
    return figures


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rate", type=float, default=75, help="S3's rate in MB/s (assumed)")
    parser.add_argument("-n", type=int, default=5, help="starts of each kind")
    parser.add_argument("--quick", action="store_true", help="a tiny version")
    options = parser.parse_args()
    if options.quick:
        options.images, options.n = [500], 1
    # The child on one core, as a function of 1,769 MB has one; the server keeps the other.
    cores = sorted(os.sched_getaffinity(0))
    pin(cores[-1])
    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_REGION="eu-central-1")
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        folder = Path(scratch)
        picture = folder / "query.jpg"
        from toys import encode, noise

        picture.write_bytes(as_jpeg(encode(noise(1))))
        server = Slow(folder, options.rate * 1e6)
        threading.Thread(target=_serve, args=(server, cores[0]), daemon=True).start()
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
        for count in options.images:
            packed, size, seconds = made(count, 64, folder)
            kinds: dict[str, list[dict[str, float]]] = {"warm": [], "cold": [], "fetched": []}
            for number in range(options.n + 1):
                for kind, runs in kinds.items():
                    if kind == "cold":
                        drop_from_cache(packed)
                    disk = folder / "disk"
                    place = f"s3://bucket/{packed.name}" if kind == "fetched" else str(packed)
                    figures = start(place, picture, disk)
                    shutil.rmtree(disk, ignore_errors=True)
                    if number:  # the first round reads the libraries from disk
                        runs.append(figures)
            row = {
                "images": count,
                "packed_bytes": size,
                "vector_bytes": count * 64 * 4,
                "pack_seconds": round(seconds, 2),
                **{kind: median(runs) for kind, runs in kinds.items()},
            }
            rows.append(row)
            _say(row)
            shutil.rmtree(packed)
    last_line("cloud_gallery", n=options.n, rate_bytes_per_second=options.rate * 1e6, rows=rows)


def _serve(server: Slow, core: int) -> None:
    os.sched_setaffinity(0, {core})
    server.serve_forever()


def _say(row: dict[str, Any]) -> None:
    print(f"{row['images']:>9,} images, {row['packed_bytes'] / 2**20:.1f} MiB packed", end="")
    print(f" in {row['pack_seconds']} s, load {machine()['load_average_1min']}")
    for kind in ("warm", "cold", "fetched"):
        figures = row[kind]
        print(
            f"  {kind:<8} first answer {figures['first_answer_seconds']:.2f} s (fetch "
            f"{figures['fetch_seconds']:.2f}, open {figures['open_seconds']:.3f}), then "
            f"{figures['warm_seconds'] * 1e3:.1f} ms; CPU {figures['cpu_seconds']:.2f} s; "
            f"memory {figures['RssAnon'] / 1024:.0f} MiB own + {figures['RssFile'] / 1024:.0f} "
            f"MiB mapped files, peak {figures['VmHWM'] / 1024:.0f}"
        )


if __name__ == "__main__":
    main()
