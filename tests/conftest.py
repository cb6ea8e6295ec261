"""Fixtures that more than one module's tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milvus_server import milvus, open_emptied
from moving import address, moved, other_model
from toy_lists import lists, lists_made, lists_path
from toys import TOY_DIMENSION, make_toy_bundle, write_pictures
from vizinho.engines import Engine
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.gallery import Gallery

# Fixtures, for all tests.
__all__ = [
    "address",
    "lists",
    "lists_made",
    "lists_path",
    "milvus",
    "moved",
    "other_model",
]


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose vectors can be read; see `toys.make_toy_bundle`."""
    return make_toy_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with cat/0000.png .. 0006.png and dog/0000.png .. 0004.png, all different."""
    folder = tmp_path / "photos"
    write_pictures(folder / "cat", 7, seed=1)
    write_pictures(folder / "dog", 5, seed=2)
    return folder


@pytest.fixture
def toy_gallery(tmp_path: Path, toy_bundle: Path, pictures: Path) -> Iterator[Gallery]:
    """A gallery that mirrors ``pictures``, labelled by folder, open."""
    with Gallery.create(tmp_path / "photos.vizinho", model=toy_bundle) as gallery:
        gallery.sync_folder(pictures, labels=True)
        yield gallery


def _embedded(folder: Path, dimension: int) -> Engine:
    path = folder / "catalogue.sqlite"
    if path.exists():
        return EmbeddedEngine.open(path)
    return EmbeddedEngine.create(path, dimension)


ENGINES: dict[str, Callable[[Path, int], Engine]] = {"embedded": _embedded}
"""Every engine that keeps its data in a folder: opens what the folder holds, or makes it."""
MILVUS = pytest.param("milvus", marks=pytest.mark.milvus)


@pytest.fixture(params=[*sorted(ENGINES), MILVUS])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Engine]:
    """Opens the same engine over the same data each time; one test body runs over all engines."""
    if request.param == "milvus":
        return open_emptied(request.getfixturevalue("milvus"), TOY_DIMENSION)
    return lambda: ENGINES[request.param](tmp_path, TOY_DIMENSION)


@pytest.fixture
def engine(open_engine: Callable[[], Engine]) -> Iterator[Engine]:
    """An empty engine for vectors of 12 numbers."""
    engine = open_engine()
    yield engine
    engine.close()
