"""The map of a gallery that takes long to say whether it has changed, as a large one in Milvus."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import key_of, make_gallery
from vizinho.errors import GalleryUnreachable
from vizinho.gallery import Gallery, GalleryView
from vizinho.gallery.mapping import make_map, state_of
from vizinho.serve import maps
from vizinho.serve.maps import Maps, Served

FAR = Path("milvus://127.0.0.1:1/far")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(make_gallery(tmp_path, 12)) as gallery:
        make_map(gallery)
        yield gallery


def no_child(*_: object) -> None:
    raise OSError("there is no server of that name")


def test_nobody_waits_until_it_is_said(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    asked: list[str] = []

    def slow(view: GalleryView) -> str:
        asked.append(threading.current_thread().name)
        assert said.wait(60)
        return state_of(view)

    monkeypatch.setattr(maps, "state_of", slow)
    monkeypatch.setattr(maps, "start_child", no_child)
    shown = Maps(lambda: gallery, FAR)
    gallery.remove([key_of(3)])
    for _ in range(3):
        found = shown.look()
        assert isinstance(found, Served)
        assert (found.stale, shown.known()) == (False, found)
    assert asked == ["map-state"]
    said.set()
    until = time.monotonic() + 30
    while not (isinstance(found := shown.look(), Served) and found.stale):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert set(asked) == {"map-state"}
    shown.close()


def test_a_gallery_that_does_not_answer_is_asked_again_only_after_a_while(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[GalleryView] = []

    def away(view: GalleryView) -> str:
        asked.append(view)
        raise GalleryUnreachable("It does not answer.")

    monkeypatch.setattr(maps, "state_of", away)
    monkeypatch.setattr(maps, "start_child", no_child)
    shown = Maps(lambda: gallery, FAR)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        found = shown.look()
        assert isinstance(found, Served)
        assert not found.stale
        time.sleep(0.01)
    assert len(asked) == 1
    shown.close()
