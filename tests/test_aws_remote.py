"""A packed gallery comes out of S3 whole or not at all: from moto over HTTP, and worse servers."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from moto_account import moto_server
from vizinho.aws import remote
from vizinho.aws.remote import fetch_gallery
from vizinho.errors import DeployError, GalleryDamaged, GalleryError, GalleryNotFound
from vizinho.gallery import Gallery, layout
from vizinho.gallery.pack import PackInfo, pack
from vizinho.gallery.view import GalleryView

BUCKET = "vizinho-test"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's S3 over HTTP; its address."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials and region by the standard chain; small parts, so that there are several."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(layout, "PART_BYTES", 1000)
    monkeypatch.setattr(remote, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def packed(toy_gallery: Gallery, tmp_path: Path) -> tuple[Path, PackInfo]:
    """A packed gallery on disk."""
    folder = tmp_path / "packed"
    return folder, pack(toy_gallery, folder, lambda row: f"s3://{BUCKET}/images/{row.hash}")


def upload(endpoint: str, folder: Path, prefix: str) -> Any:
    import boto3

    s3 = boto3.client("s3", endpoint_url=endpoint)
    if not s3.list_buckets()["Buckets"]:
        where: Any = {"LocationConstraint": "eu-central-1"}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    return s3


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


Stored = tuple[Path, str, Any]


@pytest.fixture
def stored(
    server: str, packed: tuple[Path, PackInfo], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stored]:
    """The packed gallery, its URI in S3, and a client of that S3."""
    folder, info = packed
    prefix = f"galleries/{info.digest}"
    s3 = upload(server, folder, prefix)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    yield folder, f"s3://{BUCKET}/{prefix}", s3
    for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])


def test_it_comes_as_it_was_packed(stored: Stored, tmp_path: Path, pictures: Path) -> None:
    folder, uri, _ = stored
    heard: list[tuple[int, int | None]] = []
    found = fetch_gallery(uri, tmp_path / "disk", progress=lambda *at: heard.append(at))
    assert contents(found) == contents(folder)
    total = sum(map(len, contents(folder).values())) - len(contents(folder)["gallery.json"])
    assert [at[0] for at in heard] == sorted(at[0] for at in heard)
    assert heard[-1] == (total, total)
    assert len(heard) > 10
    with GalleryView.open(found) as view:
        assert view.search(next(pictures.rglob("*.png")), k=1)[0].distance == 0.0
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [found.name]


def test_what_is_here_is_not_asked_for_again(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, uri, s3 = stored
    found = fetch_gallery(uri, tmp_path / "disk")
    before = found.stat().st_ino
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert fetch_gallery(uri, tmp_path / "disk") == found
    # Under a name that may change its meaning the description is compared.
    upload(s3.meta.endpoint_url, folder, "mine/latest")
    latest = fetch_gallery(f"s3://{BUCKET}/mine/latest", tmp_path / "disk")
    inode = latest.stat().st_ino
    assert fetch_gallery(f"s3://{BUCKET}/mine/latest/", tmp_path / "disk").stat().st_ino == inode
    with GalleryView.open(folder) as view:
        pack(view, tmp_path / "other", lambda row: row.key)
    upload(s3.meta.endpoint_url, tmp_path / "other", "mine/latest")
    assert contents(fetch_gallery(f"s3://{BUCKET}/mine/latest", tmp_path / "disk")) == contents(
        tmp_path / "other"
    )
    assert found.stat().st_ino == before
    # A copy that lost something is made anew.
    (found / "vectors.npy").unlink()
    assert contents(fetch_gallery(uri, tmp_path / "disk")) == contents(folder)


def test_a_kill_leaves_nothing_half(stored: Stored, tmp_path: Path) -> None:
    folder, uri, _ = stored
    code = (
        "import os, sys\n"
        "from vizinho.aws.remote import fetch_gallery\n"
        "from vizinho.gallery import layout\n"
        "layout.PART_BYTES = 1000\n"
        "fetch_gallery(sys.argv[1], sys.argv[2], progress=lambda done, _: os._exit(9))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, uri, tmp_path / "disk"], check=False)
    assert done.returncode == 9
    assert [p for p in (tmp_path / "disk").iterdir() if not p.name.startswith(".")] == []
    found = fetch_gallery(uri, tmp_path / "disk")
    assert contents(found) == contents(folder)
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [found.name]


def test_what_is_missing_or_wrong_is_said(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, uri, s3 = stored
    prefix = uri.removeprefix(f"s3://{BUCKET}/")
    disk = tmp_path / "disk"

    def put(name: str, data: bytes) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=data)

    def read(name: str) -> bytes:
        data: bytes = s3.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
        return data

    for wrong in ("https://x/y", "s3://bucket", "s3:///x", "galleries/x"):
        with pytest.raises(GalleryError, match="no place of a gallery in S3"):
            fetch_gallery(wrong, disk)
    with pytest.raises(GalleryNotFound, match=r"no gallery\.json \(NoSuchKey\)"):
        fetch_gallery(f"s3://{BUCKET}/galleries/none", disk)
    with pytest.raises(GalleryNotFound, match="NoSuchBucket"):
        fetch_gallery("s3://there-is-no-such/galleries/none", disk)
    vectors, about = read("vectors.npy"), json.loads(read("gallery.json"))
    for data in (vectors[:-1], vectors[:-1] + b"?", b""):
        put("vectors.npy", data)
        with pytest.raises((GalleryDamaged, DeployError), match=r"vectors\.npy"):
            fetch_gallery(uri, disk)
    s3.delete_object(Bucket=BUCKET, Key=f"{prefix}/vectors.npy")
    with pytest.raises(GalleryDamaged, match=r"has no vectors\.npy"):
        fetch_gallery(uri, disk)
    put("vectors.npy", vectors)
    file = about["files"]["vectors.npy"]
    for change, message in (
        ({"digest": "0" * 64}, "another gallery than its name says"),
        ({"engine": "embedded"}, "not a packed gallery"),
        ({"files": {"../../escaped": file}}, "a file outside it"),
        ({"files": {"/tmp/escaped": file}}, "a file outside it"),
        ({"files": {"vectors.npy": {"bytes": 5000, "sha256": []}}}, "damaged description"),
    ):
        put("gallery.json", json.dumps({**about, **change}).encode())
        with pytest.raises(GalleryDamaged, match=message):
            fetch_gallery(uri, disk)
    put("gallery.json", json.dumps(about).encode())
    with monkeypatch.context() as patch:
        patch.setattr(remote.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5}))
        with pytest.raises(GalleryError, match=r"needs 0 MiB, and .* has 0.*ephemeral storage"):
            fetch_gallery(uri, disk)
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(DeployError, match="no AWS credentials"):
            fetch_gallery(uri, disk)
    assert list(disk.iterdir()) == []
    assert fetch_gallery(uri, disk).is_dir()


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture
def unreliable(
    packed: tuple[Path, PackInfo], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, list[Answer]]]:
    """An S3 that answers the first ranged requests as the list says, then as it should."""
    folder, info = packed
    mishaps: list[Answer] = []
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = (folder / self.path.split(info.digest + "/")[1]).read_bytes()
            ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if ranged:
                data = data[int(ranged[1]) : int(ranged[2]) + 1]
                with turn:
                    answer = mishaps.pop(0) if mishaps else None
                if answer:
                    answer(self, data)
                    return
            self.answer(206 if ranged else 200, data, len(data))

        def answer(self, status: int, data: bytes, length: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)
            if len(data) < length:
                self.close_connection = True

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield f"s3://{BUCKET}/galleries/{info.digest}", mishaps
    server.shutdown()
    server.server_close()


def cut(handler: Any, data: bytes) -> None:
    handler.answer(206, data[: len(data) // 2], len(data))


def garbled(handler: Any, data: bytes) -> None:
    handler.answer(206, bytes(len(data)), len(data))


def gone(handler: Any, data: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def busy(handler: Any, data: bytes) -> None:
    body = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
    handler.answer(503, body, len(body))


def denied(handler: Any, data: bytes) -> None:
    body = b"<Error><Code>AccessDenied</Code></Error>"
    handler.answer(403, body, len(body))


def test_a_bad_line_is_tried_again(
    unreliable: tuple[str, list[Answer]], packed: tuple[Path, PackInfo], tmp_path: Path
) -> None:
    uri, mishaps = unreliable
    mishaps += [cut, garbled, gone, busy, cut, garbled]
    found = fetch_gallery(uri, tmp_path / "disk")
    assert mishaps == []
    assert contents(found) == contents(packed[0])


def test_what_stays_bad_is_said(unreliable: tuple[str, list[Answer]], tmp_path: Path) -> None:
    uri, mishaps = unreliable
    for answer, kind, message in (
        (garbled, GalleryDamaged, "is not the file that was packed"),
        (cut, DeployError, "can't be fetched"),
        (denied, DeployError, r"AccessDenied.*Allow s3:GetObject"),
    ):
        mishaps[:] = [answer] * 1000
        with pytest.raises(kind, match=message):
            fetch_gallery(uri, tmp_path / "disk")
    assert list((tmp_path / "disk").iterdir()) == []


def test_importing_it_imports_no_boto3() -> None:
    code = "import sys, vizinho.aws.remote; assert not {'boto3', 'botocore'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
