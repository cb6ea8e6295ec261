"""Embeddings that img2dataset and clip-retrieval wrote, taken into a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toys import TOY_DIMENSION, encode, noise
from vizinho.blobs import LocalBlobs
from vizinho.errors import GalleryError
from vizinho.gallery import Gallery
from vizinho.gallery import import_ as importing
from vizinho.images import content_hash


def taken(gallery: Gallery, folder: Path, **how: Any) -> tuple[int, int, int, int]:
    """Import; how many were added, changed, unchanged, and not taken."""
    report = gallery.import_folder(folder, **how)
    refused = report.duplicates + len(report.skipped)
    return report.added, report.changed, report.unchanged, refused


@pytest.fixture
def empty(tmp_path: Path, toy_bundle: Path) -> Gallery:
    return Gallery.create(tmp_path / "empty.vizinho", model=toy_bundle)


def write_foreign(folder: Path, vectors: Any, records: list[dict[str, Any]], name: str) -> None:
    """What clip-retrieval's inference writes."""
    for inner in ("img_emb", "metadata"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb" / f"img_emb_{name}.npy", vectors)
    pq.write_table(pa.Table.from_pylist(records), folder / "metadata" / f"metadata_{name}.parquet")


def test_what_clip_retrieval_wrote_is_taken_in(
    empty: Gallery, tmp_path: Path, pictures: Path
) -> None:
    out = tmp_path / "theirs"
    chance = np.random.default_rng(0)
    vectors = chance.random((6, TOY_DIMENSION)).astype(np.float16)
    inside = out / "pictures" / "in.png"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(encode(noise(1)))
    outside = pictures / "cat" / "0000.png"
    records = [
        {"image_path": "pictures/in.png", "caption": "a cat", "width": 32},
        {"image_path": str(outside), "caption": None, "similarity": 0.25},
        {"key": "000000002", "url": "https://x.example/2.jpg", "sha256": "ab" * 32},
    ]
    names = {name for record in records for name in record}
    records = [{name: record.get(name) for name in sorted(names)} for record in records]
    write_foreign(out, vectors[:3], records, "00")
    more = [{"image_path": f"/data/../cats/{n}.jpg", "caption": "c"} for n in range(3)]
    write_foreign(out, vectors[3:], more, "01")
    with pytest.raises(GalleryError, match="does not say which model") as refused:
        empty.import_folder(out)
    assert "--unknown-model" in refused.value.hint
    assert taken(empty, out, unknown_model=True, pictures=True) == (6, 0, 0, 0)
    rows = {row.key: row for row in empty.walk()}
    assert rows["pictures/in.png"].metadata == {
        "image_path": "pictures/in.png",
        "caption": "a cat",
        "width": 32,
    }
    assert (rows["000000002"].url, rows["000000002"].hash) == ("https://x.example/2.jpg", "ab" * 32)
    assert {f"data/cats/{n}.jpg" for n in range(3)} <= set(rows)
    outsider = str(outside).lstrip("/")
    assert rows[outsider].hash == content_hash(outside.read_bytes())
    for key, file in (("pictures/in.png", inside), (outsider, outside)):
        assert empty.image_bytes(key)[0] == file.read_bytes()
    keys = ["pictures/in.png", outsider, "000000002", *(f"data/cats/{n}.jpg" for n in range(3))]
    assert np.array_equal(empty.vectors(keys), vectors.astype(np.float32))
    assert taken(empty, out, unknown_model=True, pictures=True) == (0, 0, 6, 0)


def test_files_elsewhere_are_not_read_unless_told(empty: Gallery, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode(noise(1)))
    out = tmp_path / "theirs"
    records = [{"image_path": path} for path in (str(secret), "../secret.png", "a\x00b")]
    write_foreign(out, np.eye(3, TOY_DIMENSION), records, "0")
    report = empty.import_folder(out, unknown_model=True)
    assert (report.added, len(report.skipped)) == (2, 1)
    assert not list(LocalBlobs(empty.path / "images").keys())
    assert content_hash(secret.read_bytes()) not in {row.hash for row in empty.walk()}


def test_rows_that_can_not_be_kept_are_listed(empty: Gallery, tmp_path: Path) -> None:
    vectors = np.eye(3, TOY_DIMENSION)
    vectors[1, 1] = np.nan
    records = [{"key": key} for key in ("a", "b", "a")]
    write_foreign(tmp_path / "theirs", vectors, records, "0")
    report = empty.import_folder(tmp_path / "theirs", unknown_model=True)
    assert (report.added, [each.name for each in report.skipped]) == (1, ["b", "a"])


def test_vectors_of_no_unit_length_are_not_a_normalising_models(
    empty: Gallery, tmp_path: Path
) -> None:
    write_foreign(tmp_path / "theirs", np.full((2, TOY_DIMENSION), 2.0), [{"key": "a"}] * 2, "0")
    how: dict[str, Any] = {"unknown_model": True, "pictures": False}
    with empty._reporting() as report, pytest.raises(GalleryError, match="length 1"):
        importing.Importer(
            tmp_path / "theirs",
            empty.about,
            empty.engine,
            LocalBlobs(empty.path),
            report,
            normalised=True,
            **how,
        ).run(None)
