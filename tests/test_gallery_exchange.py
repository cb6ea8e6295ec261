"""Embeddings out of a gallery and into one: resumed, replaced, damaged, of another model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.blobs import LocalBlobs
from vizinho.errors import FingerprintMismatch, GalleryError
from vizinho.gallery import Gallery, NewImage, exchange
from vizinho.gallery.export import export
from vizinho.images import content_hash

METADATA: dict[str, Any] = {"text": 'é "', "number": 0.1, "deep": [{"a": None}, True]}


@pytest.fixture
def full(toy_gallery: Gallery) -> Gallery:
    """A mirrored folder, a picture of its own, and one that is only pointed at."""
    toy_gallery.add(
        [
            NewImage(encode(noise(31)), key="own.png", label="mine", metadata=METADATA),
            NewImage(
                encode(noise(32)), key="far.png", store=False, url="https://away.example/far.png"
            ),
        ]
    )
    return toy_gallery


def alike(one: Gallery, other: Gallery) -> bool:
    keys = [row.key for row in one.walk()]
    return one.walk() == other.walk() and np.array_equal(one.vectors(keys), other.vectors(keys))


def taken(gallery: Gallery, folder: Path, **how: Any) -> tuple[int, int, int, int]:
    """Import; how many were added, changed, unchanged, and not taken."""
    report = gallery.import_folder(folder, **how)
    refused = report.duplicates + len(report.skipped)
    return report.added, report.changed, report.unchanged, refused


@pytest.fixture
def empty(tmp_path: Path, toy_bundle: Path) -> Gallery:
    return Gallery.create(tmp_path / "empty.vizinho", model=toy_bundle)


def test_the_layout_is_clip_retrievals(full: Gallery, tmp_path: Path) -> None:
    done = export(full, tmp_path / "out", part_rows=5)
    assert (done.rows, done.parts, done.written, done.skipped) == (14, 3, 3, [])
    vectors = [np.load(tmp_path / "out" / "img_emb" / f"img_emb_{n}.npy") for n in range(3)]
    assert [(each.dtype, len(each)) for each in vectors] == [("float32", n) for n in (5, 5, 4)]
    names = [tmp_path / "out" / "metadata" / f"metadata_{n}.parquet" for n in range(3)]
    records = [record for name in names for record in pq.read_table(name).to_pylist()]
    keys = [record["key"] for record in records]
    assert keys == [row.key for row in full.walk()]
    assert np.array_equal(np.concatenate(vectors), full.vectors(keys))
    by_key = {record["key"]: record for record in records}
    assert by_key["far.png"]["image_path"] == "https://away.example/far.png"
    assert by_key["cat/0001.png"]["caption"] == "cat"
    for key in ("cat/0001.png", "own.png"):
        data = Path(by_key[key]["image_path"]).read_bytes()
        assert content_hash(data) == by_key[key]["hash"]


def test_it_comes_back_as_it_was(full: Gallery, empty: Gallery, tmp_path: Path) -> None:
    done = export(full, tmp_path / "out", pictures=True, part_rows=5)
    assert [each.name for each in done.skipped] == ["far.png"]
    assert taken(empty, tmp_path / "out") == (14, 0, 0, 0)
    assert alike(full, empty)
    assert empty.image_bytes("cat/0001.png") == full.image_bytes("cat/0001.png")
    assert taken(empty, tmp_path / "out") == (0, 0, 14, 0)


def test_only_parts_that_changed_are_written(full: Gallery, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(full, out, pictures=True, part_rows=5)
    first = (out / "img_emb" / "img_emb_0.npy").stat().st_ino
    full.edit("own.png", label="other")
    assert (export(full, out, pictures=True, part_rows=5).kept) == 2
    full.remove(["far.png", "own.png", *(f"dog/000{n}.png" for n in range(5))])
    done = export(full, out, pictures=True, part_rows=5)
    assert (done.parts, done.kept, done.written) == (2, 1, 1)
    assert (out / "img_emb" / "img_emb_0.npy").stat().st_ino == first
    left = {Path(key).stem for key in LocalBlobs(out / "images").keys()}  # noqa: SIM118
    assert left == {row.hash for row in full.walk()}
    assert len(list((out / "metadata").iterdir())) == 2


def test_one_that_was_cut_short_goes_on(
    full: Gallery, empty: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    vectors = full.vectors
    calls = []

    def killed(keys: list[str]) -> Any:
        calls.append(keys)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return vectors(keys)

    monkeypatch.setattr(full, "vectors", killed)
    with pytest.raises(KeyboardInterrupt):
        export(full, out, part_rows=5)
    with pytest.raises(GalleryError, match="was not finished"):
        empty.import_folder(out)
    done = export(full, out, part_rows=5)
    assert (done.parts, done.kept, done.written) == (3, 2, 1)
    assert taken(empty, out) == (14, 0, 0, 0)
    assert alike(full, empty)


def test_an_import_that_was_cut_short_goes_on(
    full: Gallery, empty: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PAGE", 4)
    export(full, tmp_path / "out", part_rows=6)
    add = empty.engine.add

    def killed(*given: Any, **more: Any) -> None:
        if empty.count >= 6:
            raise KeyboardInterrupt
        add(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(empty.engine, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            empty.import_folder(tmp_path / "out")
    assert empty.count == 6
    assert taken(empty, tmp_path / "out") == (8, 0, 6, 0)
    assert alike(full, empty)


def test_what_differs_is_replaced_and_a_prefix_keeps_both(
    full: Gallery, tmp_path: Path, toy_bundle: Path
) -> None:
    export(full, tmp_path / "out", pictures=True)
    exported = full.walk()
    full.edit("own.png", label="changed")
    full.remove(["far.png"])
    full.add([NewImage(encode(noise(77)), key="far.png")])
    replaced = full.get("far.png").hash
    assert taken(full, tmp_path / "out") == (0, 2, 12, 0)
    assert full.walk() == exported
    stored = {Path(key).name for key in LocalBlobs(full.path / "images").keys()}  # noqa: SIM118
    assert replaced not in stored
    with Gallery.create(tmp_path / "two.vizinho", model=toy_bundle) as two:
        two.add([NewImage(encode(noise(78)), key="own.png")])
        assert taken(two, tmp_path / "out", prefix="trip/") == (14, 0, 0, 0)
        assert two.get("trip/own.png").url == "/images/trip/own.png"
        assert two.get("trip/far.png").url == "https://away.example/far.png"
        # The same bytes under another key are one picture, here as everywhere.
        assert taken(two, tmp_path / "out") == (0, 0, 0, 14)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda out: (out / "img_emb" / "img_emb_1.npy").unlink(), "Part 1"),
        (lambda out: shutil.rmtree(out / "metadata"), "Part 0"),
        (lambda out: (out / "img_emb" / "img_emb_1.npy").write_bytes(b"x"), "can't be read"),
        (lambda out: (out / "metadata" / "metadata_0.parquet").write_bytes(b"x"), "can't be read"),
        (lambda out: np.save(out / "img_emb" / "img_emb_0.npy", np.eye(5, 9)), "9 numbers"),
        (lambda out: np.save(out / "img_emb" / "img_emb_0.npy", np.eye(4, 12)), "4 vectors"),
        (lambda out: np.save(out / "img_emb" / "img_emb_1.npy", np.eye(5, 12)), "Part 1"),
        (lambda out: (out / "export.json").write_text("{"), "damaged"),
        (lambda out: (out / "export.json").write_text('{"format_version": 9}'), "format 9"),
    ],
)
def test_damage_is_told_and_nothing_of_it_taken(
    full: Gallery, empty: Gallery, tmp_path: Path, damage: Any, told: str
) -> None:
    out = tmp_path / "out"
    export(full, out, part_rows=5)
    damage(out)
    with pytest.raises(GalleryError, match=told):
        empty.import_folder(out)
    # Part 0 may have been whole, and is then there.
    assert empty.count in (0, 5)


def test_other_models_and_other_precisions_are_refused(
    full: Gallery, tmp_path: Path, toy_bundle: Path, empty: Gallery
) -> None:
    out = tmp_path / "out"
    export(full, out)
    other = make_toy_bundle(tmp_path, "other", spec=replace(TOY_SPEC, size=64))
    with (
        Gallery.create(tmp_path / "o.vizinho", model=other) as gallery,
        pytest.raises(FingerprintMismatch, match="'toy'"),
    ):
        gallery.import_folder(out, unknown_model=True)
    about = json.loads((out / "export.json").read_text())
    (out / "export.json").write_text(json.dumps({**about, "precision": "int8"}))
    with pytest.raises(FingerprintMismatch, match="int8"):
        empty.import_folder(out)


def test_a_folder_of_something_else_is_left_alone(full: Gallery, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "mine" / "a.png")
    with pytest.raises(GalleryError, match="holds something else"):
        export(full, tmp_path / "mine")
    with pytest.raises(GalleryError, match="0 rows"):
        export(full, tmp_path / "out", part_rows=0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.png"]


def test_an_empty_gallery_leaves_and_comes(empty: Gallery, tmp_path: Path) -> None:
    assert export(empty, tmp_path / "out").parts == 0
    assert taken(empty, tmp_path / "out") == (0, 0, 0, 0)
