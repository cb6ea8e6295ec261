"""A gallery's search index by its own methods, and made in the background by a server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from toy_lists import D, clusters, rows_of
from toys import TOY_DIMENSION
from vizinho.engines import upkeep
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryError
from vizinho.gallery import Gallery
from vizinho.gallery.pack import pack
from vizinho.gallery.tending import Tender

PATIENCE = 120.0


@pytest.fixture
def due(tmp_path: Path, toy_bundle: Path) -> Gallery:
    """A gallery so large that its vectors should be in files."""
    gallery = Gallery.create(tmp_path / "large.vizinho", model=toy_bundle)
    count = upkeep.LEAST_NUMBERS // TOY_DIMENSION + 1
    for start in range(0, count, 20_000):
        numbers = range(start, min(start + 20_000, count))
        vectors = np.random.default_rng(start).normal(size=(len(numbers), TOY_DIMENSION))
        gallery.engine.add(rows_of(numbers), vectors.astype(np.float32))
    return gallery


def test_an_index_is_made_in_the_background_and_searches_go_on(due: Gallery) -> None:
    engine = due.engine
    assert isinstance(engine, EmbeddedEngine)
    assert engine.due() == "there is none yet"
    query = np.zeros((1, TOY_DIMENSION), np.float32)
    before = engine.search(query, 5)
    tender = Tender(lambda: due, look_seconds=0.05)
    tender.start()
    until = time.monotonic() + PATIENCE
    while engine.due():
        assert time.monotonic() < until, "nobody made the index"
        assert engine.search(query, 5) == before
        time.sleep(0.05)
    assert engine.search(query, 5) == before
    assert engine.describe()["mapped"] == engine.count()
    tender.close()
    due.close()


def test_closing_gives_up_what_is_under_way(due: Gallery) -> None:
    tender = Tender(lambda: due, look_seconds=0.01)
    tender.start()
    until = time.monotonic() + PATIENCE
    while not (due.path / "index").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    tender.close()
    assert "tender" not in {thread.name for thread in threading.enumerate()}
    engine = due.engine
    assert isinstance(engine, EmbeddedEngine)
    assert engine.optimise() or engine.due() == ""
    assert len(list((due.path / "index").iterdir())) == 2  # the index and the lock
    due.close()


def test_an_index_that_cannot_be_used_is_made_anew_once(lists_path: Path) -> None:
    closed = EmbeddedEngine.open(lists_path)
    closed.close()
    (file,) = lists_path.parent.glob("index/*/vectors.bin")
    file.write_bytes(bytes(file.stat().st_size))
    made = []
    with EmbeddedEngine.open(lists_path) as engine:
        assert engine.search(np.zeros((1, D), np.float32), 1)
        assert engine.stale
        views = [SimpleNamespace(engine=closed)]  # what a migration leaves for a moment
        tender = Tender(
            lambda: views.pop() if views else SimpleNamespace(engine=engine),  # type: ignore
            look_seconds=0.05,
        )
        real, tender._tend = tender._tend, lambda: made.append(real()) or made[-1]  # type: ignore
        tender.start()
        until = time.monotonic() + PATIENCE
        while not made or made[-1] is not None:
            assert time.monotonic() < until, "nobody made the index"
            time.sleep(0.05)
        tender.close()
        assert (engine.due(), engine.check()) == ("", [])
    assert made == [True, None]


def test_a_build_does_not_outlive_who_started_it(due: Gallery) -> None:
    catalogue = due.path / "catalogue.sqlite"
    code = (
        "import sys, time; from pathlib import Path; from vizinho.engines.upkeep import *\n"
        "print(start_child(Path(sys.argv[1])).pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(catalogue)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + PATIENCE
    while _running(child):
        assert time.monotonic() < until
        time.sleep(0.05)
    engine = due.engine
    assert isinstance(engine, EmbeddedEngine)
    assert engine.due()
    due.close()


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_gallery_is_told_it_remembers(tmp_path: Path, toy_bundle: Path) -> None:
    path = tmp_path / "g.vizinho"
    with Gallery.create(path, model=toy_bundle) as gallery:
        assert gallery.optimise() is False
        assert gallery.optimise(latency_ms=2.5, recall=0.95) is False
    with Gallery.open(path) as gallery:
        told = gallery.info["search"]
        assert (told["latency_ms"], told["recall"], told["index"]) == (2.5, 0.95, "flat")
        assert not (path / "index").exists()
        with pytest.raises(GalleryError, match="recall"):
            gallery.optimise(recall=2.0)
        vectors = clusters(40)[:, :TOY_DIMENSION]
        gallery.engine.add(rows_of(range(40)), np.ascontiguousarray(vectors))
        assert gallery.optimise(force=True)
        pack(gallery, tmp_path / "packed.vizinho", lambda row: row.url)
    with Gallery.open(tmp_path / "packed.vizinho") as packed:
        assert packed.optimise() is False
        with pytest.raises(GalleryError, match="can't be chosen"):
            packed.optimise(recall=0.9)
