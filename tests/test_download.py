"""Downloads against a real HTTP server that can be told to misbehave."""

from __future__ import annotations

import hashlib
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vizinho.datasets import load_dataset
from vizinho.datasets.cifar import CIFAR10_CLASSES
from vizinho.datasets.download import CIFAR10, Part, Places, content_digest, fetch_cifar10
from vizinho.datasets.transfer import LocalError, Patience, fetch_file, remote_size
from vizinho.errors import DownloadError

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


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def dead_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


BODY = np.random.default_rng(0).bytes(700_000)


def must_be(content: bytes) -> Any:
    def check(path: Path) -> None:
        if path.read_bytes() != content:
            raise DownloadError("wrong checksum")

    return check


def fetch(site: Site, target: Path, **options: Any) -> None:
    fetch_file(
        f"{site.url}/f",
        target,
        verify=must_be(options.pop("content", BODY)),
        patience=QUICK,
        **options,
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_with_progress(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    seen: list[tuple[int, int | None]] = []
    fetch(site, tmp_path / "f", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "f").read_bytes() == BODY
    assert left_in(tmp_path) == ["f"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert remote_size(f"{site.url}/f") == len(BODY)


def test_a_broken_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    site.break_at = [300_000, 1, 200_000]
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in site.gets()] == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]


def test_the_next_call_goes_on_where_the_last_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    site.break_at = [400_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="can't be fetched"):
        fetch(site, tmp_path / "f")
    assert left_in(tmp_path) == ["f.part", "f.part.json"]
    site.break_at.clear()
    site.asked.clear()
    fetch(site, tmp_path / "f")
    assert site.gets() == [("/f", "bytes=400000-")]
    assert left_in(tmp_path) == ["f"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(
    site: Site, tmp_path: Path
) -> None:
    site.files["/f"] = bytes(len(BODY))
    site.break_at = [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    site.files["/f"], site.version = BODY, '"v2"'
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_without_ranges_works_too(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.ranges, site.break_at = BODY, False, [300_000]
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_weak_validator_is_no_ground_to_resume(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.version, site.break_at = BODY, 'W/"v1"', [300_000]
    fetch(site, tmp_path / "f")
    assert [r for _, r in site.gets()] == [None, None]


def test_a_part_that_was_whole_already_is_only_checked(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.break_at = BODY, [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    (tmp_path / "f.part").write_bytes(BODY)
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert left_in(tmp_path) == ["f"]


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.break_at = BODY, [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch(site, tmp_path / "f", content=b"other")
    assert left_in(tmp_path) == []


def test_a_busy_server_is_asked_again_a_missing_file_is_not(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.statuses = BODY, [503, 429]
    fetch(site, tmp_path / "f")
    assert len(site.gets()) == 3
    site.files.clear()
    site.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch(site, tmp_path / "g")
    assert len(site.gets()) == 1
    assert left_in(tmp_path) == ["f"]


def test_offline_is_said_plainly(dead_url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"can't be fetched: Connection refused"):
        fetch_file(f"{dead_url}/f", tmp_path / "f", verify=must_be(b""), patience=QUICK)
    assert left_in(tmp_path) == []
    assert remote_size(f"{dead_url}/f") is None


def test_two_downloads_of_one_file_do_not_mix(site: Site, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    site.files["/f"] = BODY
    with (tmp_path / "f.part").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LocalError, match="another download"):
            fetch(site, tmp_path / "f")
    fetch(site, tmp_path / "f")


def test_a_disk_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="can't be written"):
        fetch(site, tmp_path / "file" / "f")


# A CIFAR-10 of 30 + 10 pictures, in both forms.

COUNTS = {"train": 30, "test": 10}


def toy_split(split: str) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(len(split))
    pixels = rng.integers(0, 256, (COUNTS[split], 32, 32, 3), dtype=np.uint8)
    return pixels, [i % 10 for i in range(COUNTS[split])]


def parquet_bytes(split: str, order: int = 1, compress: int = 6) -> bytes:
    pixels, labels = toy_split(split)
    cells = []
    for picture in pixels[::order]:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=compress)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = [{"_type": "ClassLabel", "names": list(CIFAR10_CLASSES)}]
    features = f'{{"info": {{"features": {{"label": {names[0]!r}}}}}}}'.replace("'", '"')
    table = pa.table({"img": pa.array(cells, kind), "label": pa.array(labels[::order])})
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), out)
    return out.getvalue()


def archive_bytes() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:

        def put(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        pixels, labels = toy_split("train")
        flat = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(-1, 3072)
        for i in range(5):
            rows = slice(6 * i, 6 * i + 6)
            batch = {b"data": flat[rows], b"labels": labels[rows]}
            put(f"cifar-10-batches-py/data_batch_{i + 1}", pickle.dumps(batch, protocol=2))
        pixels, labels = toy_split("test")
        flat = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(-1, 3072)
        batch = {b"data": flat, b"labels": labels}
        put("cifar-10-batches-py/test_batch", pickle.dumps(batch, protocol=2))
        put("cifar-10-batches-py/../../escaped", b"evil")
        put("../escaped", b"evil")
    return out.getvalue()


@pytest.fixture
def places(site: Site, tmp_path: Path) -> Places:
    parts = {}
    for split, part in CIFAR10.parts.items():
        content = parquet_bytes(split)
        path = tmp_path / f"toy-{split}" / part.file
        path.parent.mkdir()
        path.write_bytes(content)
        digest = content_digest(load_dataset(str(path)))
        parts[split] = Part(
            part.file, COUNTS[split], sha256=hashlib.sha256(content).hexdigest(), digest=digest
        )
        site.files[f"/hf/{part.file}"] = content
    site.files["/cifar-10-python.tar.gz"] = archive_bytes()
    return Places(
        parquet_url=f"{site.url}/hf",
        archive_url=f"{site.url}/cifar-10-python.tar.gz",
        archive_md5=hashlib.md5(site.files["/cifar-10-python.tar.gz"]).hexdigest(),
        parts=parts,
    )


def same_pictures(data_dir: Path) -> None:
    for split, count in COUNTS.items():
        data = load_dataset(f"cifar10:{split}", data_dir=data_dir)
        assert len(data) == count
        assert data.classes == list(CIFAR10_CLASSES)
        pixels, labels = toy_split(split)
        got = {(np.asarray(data.load(i)).tobytes(), int(data.labels[i])) for i in range(count)}
        assert got == {(p.tobytes(), label) for p, label in zip(pixels, labels, strict=True)}


def test_cifar_comes_as_parquet_and_is_not_fetched_twice(
    site: Site, places: Places, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    data_dir = tmp_path / "data"

    def report(done: int, total: int | None) -> None:
        seen.append((done, total))

    assert fetch_cifar10(data_dir, report, places=places, patience=QUICK) == data_dir / "cifar10"
    same_pictures(data_dir)
    total = sum(len(site.files[f"/hf/{part.file}"]) for part in places.parts.values())
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    site.asked.clear()
    assert fetch_cifar10(data_dir, places=places, patience=QUICK) == data_dir / "cifar10"
    assert site.asked == []


def test_another_encoding_and_order_of_the_same_pictures_passes(
    site: Site, places: Places, tmp_path: Path
) -> None:
    for split, part in places.parts.items():
        other = parquet_bytes(split, order=-1, compress=1)
        assert other != site.files[f"/hf/{part.file}"]
        site.files[f"/hf/{part.file}"] = other
    fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    same_pictures(tmp_path / "data")
    assert not any("tar" in path for path, _ in site.gets())


def test_one_wrong_label_is_noticed(site: Site, places: Places, tmp_path: Path) -> None:
    key = f"/hf/{places.parts['test'].file}"
    table = pq.read_table(io.BytesIO(site.files[key]))
    labels = table.column("label").to_pylist()
    labels[3] = (labels[3] + 1) % 10
    out = io.BytesIO()
    pq.write_table(table.set_column(1, "label", pa.array(labels)), out)
    site.files[key] = out.getvalue()
    site.files.pop("/cifar-10-python.tar.gz")
    with pytest.raises(DownloadError, match="wrong checksum") as caught:
        fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    assert "404" in str(caught.value)
    assert not (tmp_path / "data" / "cifar10" / places.parts["test"].file).exists()


def test_without_hugging_face_the_archive_is_taken(
    site: Site, places: Places, tmp_path: Path, dead_url: str
) -> None:
    data_dir = tmp_path / "a" / "data"
    there = fetch_cifar10(data_dir, places=replace(places, parquet_url=dead_url), patience=QUICK)
    assert there == data_dir / "cifar-10-batches-py"
    same_pictures(data_dir)
    assert left_in(data_dir) == ["cifar-10-batches-py", "cifar10"]
    assert not list(tmp_path.rglob("escaped"))
    site.asked.clear()
    fetch_cifar10(data_dir, places=places, patience=QUICK)
    assert site.asked == []


def test_a_web_page_instead_of_the_data_is_refused(
    site: Site, places: Places, tmp_path: Path
) -> None:
    for key in site.files:
        site.files[key] = b"<html>Please log in to the hotel's network</html>"
    with pytest.raises(DownloadError) as caught:
        fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    assert "parquet is broken" in str(caught.value)
    assert "wrong checksum: MD5" in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.part"))


def test_offline_says_where_to_put_the_files(places: Places, tmp_path: Path, dead_url: str) -> None:
    offline = replace(
        places, parquet_url=dead_url, archive_url=f"{dead_url}/cifar-10-python.tar.gz"
    )
    with pytest.raises(DownloadError) as caught:
        fetch_cifar10(tmp_path / "data", places=offline, patience=QUICK)
    assert "Connection refused" in caught.value.message
    assert "train-00000-of-00001.parquet" in caught.value.hint
    assert str(tmp_path / "data" / "cifar10") in caught.value.hint


def test_an_interrupted_fetch_goes_on(site: Site, places: Places, tmp_path: Path) -> None:
    sizes = {split: len(site.files[f"/hf/{part.file}"]) for split, part in places.parts.items()}
    half = sizes["train"] // 2
    site.break_at = [half, 0, 0, 0]
    archive = site.files.pop("/cifar-10-python.tar.gz")
    with pytest.raises(DownloadError):
        fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    site.files["/cifar-10-python.tar.gz"] = archive
    site.break_at.clear()
    site.asked.clear()
    fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    same_pictures(tmp_path / "data")
    assert site.gets()[0] == (f"/hf/{places.parts['train'].file}", f"bytes={half}-")


def test_a_stranger_under_our_name_is_left_alone(places: Places, tmp_path: Path) -> None:
    mine = tmp_path / "data" / "cifar10" / places.parts["train"].file
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own data")
    with pytest.raises(DownloadError, match="is there already"):
        fetch_cifar10(tmp_path / "data", places=places, patience=QUICK)
    assert mine.read_bytes() == b"my own data"
