"""Derived files damaged, missing, old or half made: the catalogue is the truth."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from toy_lists import COUNT, brute, clusters, recall, rows_of
from vizinho.engines import derived, training
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryBusy, GalleryError


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-64])


def _other_vectors(file: Path) -> None:
    data = np.fromfile(file, np.float32)
    (data + 1).tofile(file)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("vectors.bin", Path.unlink),
        ("vectors.bin", _cut),
        ("vectors.bin", _other_vectors),
        ("ids.bin", _cut),
        ("ivf.faiss", Path.unlink),
        ("ivf.faiss", lambda file: file.write_bytes(bytes(file.stat().st_size))),
        ("manifest.json", Path.unlink),
        ("manifest.json", lambda file: file.write_text("{}")),
        ("manifest.json", lambda file: file.write_text('{"format": 99}')),
        (".", shutil.rmtree),
    ],
)
def test_damaged_or_missing_files_are_passed_over_and_made_again(
    lists_path: Path, name: str, harm: object
) -> None:
    (folder,) = (entry for entry in (lists_path.parent / "index").iterdir() if entry.is_dir())
    harm(folder / name)  # type: ignore[operator]
    with EmbeddedEngine.open(lists_path) as engine:
        queries = clusters(10, seed=6)
        for query in queries:
            (hits,) = engine.search(query[None], 10)
            assert [(hit.key, hit.distance) for hit in hits] == brute(engine, query, 10)
        assert engine.due()
        assert engine.check()
        assert engine.optimise()
        assert (engine.due(), engine.check()) == ("", [])
        assert engine.describe()["index"] == "ivf"
        assert recall(engine, queries) >= 0.95


def test_a_catalogue_from_before_the_index_takes_no_notice_of_it(lists_path: Path) -> None:
    """A copy put back after the index was made anew: ids may mean other vectors there."""
    old = lists_path.parent / "old.sqlite"
    with sqlite3.connect(lists_path) as db:
        db.execute("VACUUM INTO ?", (str(old),))
    with EmbeddedEngine.open(lists_path) as engine:
        engine.add(rows_of(range(7000, 7050)), clusters(50, seed=1))
        engine.optimise(force=True)
    for tail in ("-wal", "-shm"):
        lists_path.with_name(lists_path.name + tail).unlink(missing_ok=True)
    old.replace(lists_path)
    with EmbeddedEngine.open(lists_path) as engine:
        vectors = clusters(50, seed=2)
        engine.add(rows_of(range(8000, 8050)), vectors)
        for i, hits in enumerate(engine.search(vectors, 1), 8000):
            assert (hits[0].key, hits[0].distance) == (f"k{i:06d}", 0.0)
        assert engine.due()


def test_an_index_that_was_never_finished_is_swept(lists_path: Path) -> None:
    litter = lists_path.parent / "index" / "0123456789abcdef"
    litter.mkdir()
    (litter / "vectors.bin").write_bytes(b"half")
    with EmbeddedEngine.open(lists_path) as engine:
        before = engine.describe()
        assert engine.optimise(force=True)
        assert not litter.exists()
        assert engine.describe()["vectors"] == before["vectors"]


def test_readers_keep_the_index_they_have_mapped(lists_path: Path) -> None:
    reader, writer = EmbeddedEngine.open(lists_path), EmbeddedEngine.open(lists_path)
    snapshot = reader._current()
    writer.remove(["k000000"])
    writer.optimise(force=True)
    (found,) = snapshot.nearest(clusters(COUNT)[:1], 1)
    assert found[1].tolist() == [0.0]
    (hits,) = reader.search(clusters(COUNT)[:1], 1)
    assert hits[0].key != "k000000"
    assert reader._current().index != snapshot.index
    reader.close()
    writer.close()


def test_two_never_build_at_once(lists_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    real = training.fill

    def slow(*given: object) -> object:
        inside.set()
        go_on.wait(60)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "fill", slow)
    one, other = EmbeddedEngine.open(lists_path), EmbeddedEngine.open(lists_path)
    thread = threading.Thread(target=one.optimise, kwargs={"force": True})
    thread.start()
    assert inside.wait(60)
    with pytest.raises(GalleryBusy, match="being made"):
        other.optimise(force=True)
    # What changes while it is made is not lost.
    new = clusters(5, seed=77)
    other.add(rows_of(range(9000, 9005)), new, remove=["k000007"])
    go_on.set()
    thread.join()
    for i, hits in enumerate(other.search(new, 1), 9000):
        assert (hits[0].key, hits[0].distance) == (f"k{i:06d}", 0.0)
    assert other.search(clusters(COUNT)[7:8], 1)[0][0].key != "k000007"
    assert one.count() == other.count() == COUNT + 4
    one.close()
    other.close()


def test_an_index_that_is_replaced_while_it_is_opened_is_followed(
    lists_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = EmbeddedEngine.open(lists_path), EmbeddedEngine.open(lists_path)
    real = derived.read_manifest

    def late(folder: Path) -> derived.Manifest:
        monkeypatch.setattr(derived, "read_manifest", real)
        assert writer.optimise(force=True)
        return real(folder)

    monkeypatch.setattr(derived, "read_manifest", late)
    assert reader._current().mapped
    assert not reader.stale
    reader.close()
    writer.close()


def test_a_disk_that_refuses_keeps_the_index_there_was_and_no_half_of_one(
    lists: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    def full(*_: object) -> None:
        raise RuntimeError("Error in fwrite: write error: No space left on device")

    folder = lists.path.with_name("index")
    before = sorted(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(faiss, "write_index", full)
        with pytest.raises(GalleryError, match="No space left"):
            lists.optimise(force=True)
    assert sorted(folder.iterdir()) == before
    assert (lists.check(), lists.describe()["index"]) == ([], "ivf")
    shutil.rmtree(folder)
    folder.write_text("no folder")
    with pytest.raises(GalleryError, match="can't be made"):
        lists.optimise(force=True)
