"""Fetching CIFAR-10, from a small copy of it on a real HTTP server."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from toy_site import QUICK, Site, running_site, unused_url
from vizinho.datasets import load_dataset
from vizinho.datasets.cifar import CIFAR10_CLASSES
from vizinho.datasets.download import CIFAR10, Part, Places, content_digest, fetch_cifar10
from vizinho.errors import DownloadError


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as served:
        yield served


@pytest.fixture
def dead_url() -> str:
    return unused_url()


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
    assert sorted(p.name for p in data_dir.iterdir()) == ["cifar-10-batches-py", "cifar10"]
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
