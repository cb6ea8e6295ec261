"""A gallery in Milvus that is to get another model, and what there is to see of it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milvus_server import MilvusServer
from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.bundle import read_bundle
from vizinho.engines import milvus_link
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery import migrate_remote as module
from vizinho.gallery.remote import Remote

NAME = "moved"


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives other vectors than the toy one, for the same pictures."""
    folder = tmp_path_factory.mktemp("models")
    return make_toy_bundle(folder, "other", spec=replace(TOY_SPEC, size=64))


@pytest.fixture
def address(milvus: MilvusServer) -> str:
    """Of the gallery."""
    return f"{milvus.uri}/{NAME}"


@pytest.fixture
def moved(
    address: str,
    toy_bundle: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gallery]:
    """Twelve pictures of a folder and one that is nowhere else."""
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.0)
    with Gallery.create(address, model=toy_bundle, overwrite=True) as made:
        made.sync_folder(pictures, labels=True)
        made.add([NewImage(encode(noise(5)), key="mine.png", metadata={"n": 1}, url="/there")])
        yield made


def collections(address: str) -> list[str]:
    """What this gallery has in the server."""
    link = milvus_link.MilvusLink(Remote(address).address)
    try:
        found = link.call(lambda client, left: client.list_collections(timeout=left))
        return sorted(name for name in found if name.startswith(NAME))
    finally:
        link.close()


def side(bundle: Path) -> str:
    return f"{NAME}_by_{bundle.name}_{read_bundle(bundle).fingerprint[:12]}"


def check(address: str, bundle: Path, expected: list[Any]) -> None:
    """The gallery has these rows, and each the vector that this model gives its picture."""
    with Gallery.open(address, model=bundle) as gallery:
        assert gallery.about.fingerprint == gallery.embedder.fingerprint
        assert gallery.walk() == expected
        keys = [row.key for row in expected]
        fresh = gallery.embedder.embed([gallery.image_bytes(key)[0] for key in keys])
        assert np.array_equal(gallery.vectors(keys), fresh)
