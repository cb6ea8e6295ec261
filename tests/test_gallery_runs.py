"""Runs that end badly, and runs beside other runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from toys import encode, make_toy_bundle, noise, write_pictures
from vizinho.blobs import LocalBlobs
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryBusy, GalleryError
from vizinho.gallery import Gallery, NewImage, layout
from vizinho.gallery import intake as intake_module
from vizinho.gallery import jobs as jobs_module
from vizinho.gallery import pipeline as pipeline_module


def check(gallery: Gallery, folder: Path) -> None:
    """Every row has the vector of its file."""
    keys = [row.key for row in gallery.items(limit=10_000)]
    fresh = gallery.embedder.embed([folder / key for key in keys])
    np.testing.assert_allclose(gallery.vectors(keys), fresh, atol=1e-6)


@pytest.fixture
def holder(toy_gallery: Gallery):
    """Another process that is writing to ``toy_gallery``; killed at the end."""
    code = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from vizinho.gallery import layout\n"
        "with layout.writing(Path(sys.argv[1]), threading.Lock()):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(toy_gallery.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_told_who_is_first_and_readers_go_on(
    toy_gallery: Gallery, pictures: Path, holder: subprocess.Popen[str]
) -> None:
    for write in (
        lambda: toy_gallery.add([NewImage(encode(noise(1)))]),
        lambda: toy_gallery.sync_folder(pictures),
        lambda: toy_gallery.remove(["cat/0000.png"]),
        lambda: Gallery.create(toy_gallery.path, model=toy_gallery.path / "model", overwrite=True),
    ):
        with pytest.raises(GalleryBusy, match=rf"pid {holder.pid}\b"):
            write()
    assert toy_gallery.count == 12
    assert toy_gallery.search(pictures / "cat" / "0000.png", k=1)[0].distance == 0
    holder.kill()
    holder.wait()
    assert toy_gallery.remove(["cat/0000.png"]) == 1


def test_threads_of_one_gallery_wait_for_each_other(toy_gallery: Gallery) -> None:
    errors: list[BaseException] = []

    def add(i: int) -> None:
        try:
            toy_gallery.add([NewImage(encode(noise(1000 + i)), key=f"thread/{i}")])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert toy_gallery.count == 20


def test_an_open_gallery_sees_what_another_adds_and_removes(
    toy_gallery: Gallery, pictures: Path
) -> None:
    with Gallery.open(toy_gallery.path) as reader:
        assert reader.count == 12
        assert reader.search(noise(77), k=1)[0].distance > 0.01
        toy_gallery.add([NewImage(encode(noise(77)), key="new")])
        assert [(m.key, m.distance) for m in reader.search(noise(77), k=1)] == [("new", 0)]
        assert reader.image_bytes("new")[0] == encode(noise(77))
        toy_gallery.remove(["new"])
        assert "new" not in {match.key for match in reader.search(noise(77), k=20)}


def test_bytes_stored_by_a_killed_writer_are_swept_by_the_next(toy_gallery: Gallery) -> None:
    toy_gallery.add([NewImage(encode(noise(1)), key="kept")])
    images = toy_gallery.path / "images"
    LocalBlobs(images).put("ab/abcdef", b"of a row that was never committed")
    (images / "ab" / ".abcdef.1.partial").write_bytes(b"half")
    (toy_gallery.path / "lock").write_text("999999\n")
    toy_gallery.add([NewImage(encode(noise(2)), key="next")])
    left = {path.name for path in images.rglob("*") if path.is_file()}
    assert left == {toy_gallery.get("kept").hash, toy_gallery.get("next").hash}
    assert (toy_gallery.path / "lock").read_text() == ""


def test_folders_of_killed_creations_are_swept(tmp_path: Path, toy_bundle: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / f".g.vizinho.{process.pid}.new"
    alive = tmp_path / f".g.vizinho.{os.getppid()}.new"
    for folder in (left, alive):
        folder.mkdir()
        (folder / "half").touch()
    Gallery.create(tmp_path / "g.vizinho", model=toy_bundle).close()
    assert not left.exists()
    assert alive.exists()


def test_a_gallery_takes_the_model_and_leaves_its_report(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    (bundle / "report").mkdir()
    (bundle / "report" / "sheet.png").write_bytes(bytes(1000))
    Gallery.create(tmp_path / "g.vizinho", model=bundle).close()
    with Gallery.open(tmp_path / "g.vizinho", model=bundle) as gallery:
        assert gallery.embedder.dimension == 12
    copied = {path.name for path in (tmp_path / "g.vizinho" / "model").rglob("*")}
    assert copied == {"model.onnx", "bundle.json"}


def test_a_creation_that_fails_leaves_nothing(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout, "write_about", full)
    with pytest.raises(GalleryError, match="disk is full"):
        Gallery.create(tmp_path / "g.vizinho", model=toy_bundle)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_adding_leaves_a_good_gallery(
    toy_gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    written: list[Path] = []

    def full_at_the_fifth(self: Path, target: Path) -> Path:
        written.append(self)
        if len(written) > 5:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full_at_the_fifth)
    items = [NewImage(encode(noise(i)), key=f"new/{i}") for i in range(40)]
    with pytest.raises(GalleryError, match=r"disk is full.*Free some space"):
        toy_gallery.add(items)
    monkeypatch.undo()
    for row in toy_gallery.items(limit=100):
        assert toy_gallery.image_bytes(row.key)[0]
    assert toy_gallery.add(items).skipped == []
    assert toy_gallery.count == 52
    stored = [path for path in (toy_gallery.path / "images").rglob("*") if path.is_file()]
    assert len(stored) == 40


def test_progress_and_stages_are_reported(tmp_path: Path, toy_bundle: Path) -> None:
    write_pictures(tmp_path / "many", 100)
    heard: list[tuple[int, int | None]] = []
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        start = time.perf_counter()
        report = gallery.sync_folder(
            tmp_path / "many", progress=lambda done, total: heard.append((done, total))
        )
        assert 0 < report.seconds <= time.perf_counter() - start
    assert heard == sorted(heard)
    assert heard[-1] == (100, 100)
    assert len(heard) >= 3
    assert set(report.stages) == {"read", "decode", "embed", "write"}
    assert all(seconds > 0 for seconds in report.stages.values())


def test_what_is_known_is_asked_for_many_pictures_at_once(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a gallery on a server each question is a way through the network."""
    write_pictures(tmp_path / "photos", 64)
    asked: list[int] = []
    find = EmbeddedEngine.find

    def counted(engine: EmbeddedEngine, hashes: list[str]) -> dict[str, str]:
        asked.append(len(hashes))
        return find(engine, hashes)

    monkeypatch.setattr(EmbeddedEngine, "find", counted)
    with Gallery.create(tmp_path / "g", model=toy_bundle) as gallery:
        assert gallery.sync_folder(tmp_path / "photos").added == 64
        assert asked[:2] == [32, 32]
        # Nor are many read before they are asked for: a chunk of them may be large.
        asked.clear()
        monkeypatch.setattr(pipeline_module, "_HELD_BYTES", 1)
        images = [NewImage(path) for path in sorted((tmp_path / "photos").iterdir())]
        assert gallery.add(images).unchanged == 64
        assert asked.count(1) == 64


def test_any_number_of_workers_gives_the_same_gallery(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    write_pictures(tmp_path / "many", 90)
    (tmp_path / "many" / "0013.png").write_text("broken")
    found = []
    for workers in (1, 5):
        with Gallery.create(tmp_path / f"{workers}.vizinho", model=bundle) as gallery:
            gallery.workers = workers
            report = gallery.sync_folder(tmp_path / "many")
            rows = gallery.items(limit=200)
            vectors = gallery.vectors([row.key for row in rows])
            found.append((rows, vectors.tobytes(), report.skipped))
    assert found[0] == found[1]
    assert len(found[0][0]) == 89


def test_an_error_in_the_middle_keeps_what_was_committed(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    write_pictures(folder, 700)
    load = pipeline_module.load_image
    seen: list[str] = []

    def failing(data: bytes, **options: object) -> object:
        seen.append(str(options["name"]))
        if len(seen) == 600:
            raise RuntimeError("the machine caught fire")
        return load(data, **options)

    monkeypatch.setattr(pipeline_module, "load_image", failing)
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        with pytest.raises(RuntimeError, match="fire"):
            gallery.sync_folder(folder)
        kept = gallery.count
        assert 256 <= kept < 600
        seen.clear()
        report = gallery.sync_folder(folder)
        assert (report.added, report.unchanged, len(seen)) == (700 - kept, kept, 700 - kept)
        check(gallery, folder)


def test_bytes_that_go_from_one_key_to_another_stay(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker stores them for the new key while the old key's are being dropped."""
    moving, other = encode(noise(1)), encode(noise(2))
    committed, stored = threading.Event(), threading.Event()
    commit, put, delete = EmbeddedEngine.add, LocalBlobs.put, LocalBlobs.delete

    def late(source: bytes) -> bytes:
        if source == moving:
            committed.wait(5)
        return source

    def telling(self: EmbeddedEngine, *rows: object, **more: object) -> None:
        commit(self, *rows, **more)  # type: ignore[arg-type]
        committed.set()

    def storing(self: LocalBlobs, key: str, data: bytes) -> None:
        put(self, key, data)
        if data == moving:
            stored.set()

    def waiting(self: LocalBlobs, key: str) -> None:
        stored.wait(5)
        delete(self, key)

    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.add([NewImage(moving, key="old")])
        gallery.workers = 1
        monkeypatch.setattr(pipeline_module, "_CHUNK", 1)
        monkeypatch.setattr(intake_module, "_COMMIT_IMAGES", 1)
        monkeypatch.setattr(jobs_module, "read_bytes", late)
        monkeypatch.setattr(EmbeddedEngine, "add", telling)
        monkeypatch.setattr(LocalBlobs, "put", storing)
        monkeypatch.setattr(LocalBlobs, "delete", waiting)
        report = gallery.add([NewImage(other, key="old"), NewImage(moving, key="new")])
        assert (report.changed, report.added) == (1, 1)
        assert gallery.image_bytes("old")[0] == other
        assert gallery.image_bytes("new")[0] == moving
