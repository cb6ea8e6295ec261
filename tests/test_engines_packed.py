"""A packed engine answers exactly as the embedded one over the same rows, and never writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vizinho.engines import Filter, Row
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.packed import VECTORS, PackedEngine, PackedWriter
from vizinho.errors import GalleryDamaged, GalleryError, KeyNotFound

D = 12
METADATA: tuple[dict[str, Any], ...] = ({}, {"size": 1}, {"x": "y", "size": 2.5}, {"size": True})
FILTERS: tuple[Filter | None, ...] = (
    None,
    {},
    {"label": "a"},
    {"label": None},
    {"size": 1},
    {"size": True},
    {"label": "b", "size": 2.5},
    {"size": None},
    {"label": "nobody"},
)


def content(seed: int, count: int) -> tuple[list[Row], np.ndarray]:
    """Rows in no order, with keys beyond ASCII, and vectors of which many are equal."""
    rng = np.random.default_rng(seed)
    rows = [
        Row(
            f"{['k', 'é', '𝄞', 'Z/', '�'][number % 5]}{number}",
            f"s3://bucket/images/{number}",
            f"{number:064x}",
            [None, "a", "b"][rng.integers(3)],
            METADATA[rng.integers(4)],
        )
        for number in rng.permutation(count).tolist()
    ]
    vectors = rng.integers(0, 3, (count, D)).astype(np.float32)
    vectors[::3] += rng.normal(0, 1e-4, vectors[::3].shape).astype(np.float32)
    return rows, vectors


def write(folder: Path, rows: list[Row], vectors: np.ndarray) -> Path:
    path = folder / "packed" / "catalogue.sqlite"
    path.parent.mkdir()
    writer = PackedWriter(path, len(rows), D)
    order = sorted(range(len(rows)), key=lambda i: rows[i].key)
    for start in range(0, len(rows), 100):
        part = order[start : start + 100]
        writer.add([rows[i] for i in part], vectors[part])
    writer.finish()
    return path


Pair = tuple[EmbeddedEngine, PackedEngine]


@pytest.fixture(params=[0, 1, 700])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """The same content in both engines."""
    rows, vectors = content(request.param, request.param)
    embedded = EmbeddedEngine.create(tmp_path / "catalogue.sqlite", D)
    embedded.add(rows, vectors)
    packed = PackedEngine.open(write(tmp_path, rows, vectors))
    yield embedded, packed
    embedded.close()
    packed.close()


def test_it_answers_as_the_embedded_engine_does(pair: Pair) -> None:
    embedded, packed = pair
    rng = np.random.default_rng(3)
    assert packed.count() == embedded.count()
    assert packed.dimension == D
    rows = embedded.scan(0, 10_000)
    for query in (*rng.integers(0, 3, (6, D)), *rng.normal(1, 1, (2, D))):
        for filter in FILTERS:
            for k, offset in ((1, 0), (10, 0), (7, 3), (40, 250), (2000, 0)):
                queries = np.stack([query, query + 1]).astype(np.float32)
                found = packed.search(queries, k, offset=offset, filter=filter)
                assert found == embedded.search(queries, k, offset=offset, filter=filter)
    for offset, limit, label in ((0, 5, None), (3, 90, None), (690, 50, None), (2, 50, "a")):
        assert packed.scan(offset, limit, label) == embedded.scan(offset, limit, label)
    keys = [row.key for row in rows[::-3]]
    assert packed.get([*keys, "unknown"]) == embedded.get([*keys, "unknown"]) == rows[::-3]
    hashes = [row.hash for row in rows[::7]] + ["unknown"]
    assert packed.find(hashes) == embedded.find(hashes)
    assert (packed.vectors(keys) == embedded.vectors(keys)).all()
    assert packed.vectors(keys).dtype == np.float32
    for engine in pair:
        with pytest.raises(KeyNotFound, match="'unknown'"):
            engine.vectors(["unknown"])
        with pytest.raises(GalleryError, match="k must be 1"):
            engine.search(np.zeros((1, D), np.float32), 0)
        with pytest.raises(GalleryError, match="takes"):
            engine.search(np.zeros((1, D + 1), np.float32), 1)


def test_writing_is_refused(pair: Pair) -> None:
    _, packed = pair
    with pytest.raises(GalleryError, match="is packed: it can be searched, not changed"):
        packed.add([Row("new", "/new", "0")], np.zeros((1, D), np.float32))
    with pytest.raises(GalleryError, match="is packed"):
        packed.remove(["k0"])


def test_it_leaves_nothing_beside_its_files_and_needs_no_rights_to_write(tmp_path: Path) -> None:
    rows, vectors = content(1, 50)
    path = write(tmp_path, rows, vectors)
    before = {file.name: file.stat().st_mtime_ns for file in path.parent.iterdir()}
    for mode in (0o755, 0o555):
        path.parent.chmod(mode)
        engine = PackedEngine.open(path)
        engine.search(vectors[:1], 5, filter={"label": "a"})
        found = {file.name: file.stat().st_mtime_ns for file in path.parent.iterdir()}
        engine.close()
        assert found == before
        assert set(found) == {"catalogue.sqlite", VECTORS}
    path.parent.chmod(0o755)


def test_vectors_are_mapped_not_loaded(tmp_path: Path) -> None:
    rows, vectors = content(1, 50)
    engine = PackedEngine.open(write(tmp_path, rows, vectors))
    base: Any = engine._flat.matrix
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert base.mode == "r"
    engine.close()


def test_damage_is_said(tmp_path: Path) -> None:
    rows, vectors = content(1, 50)
    path = write(tmp_path, rows, vectors)
    beside = path.with_name(VECTORS)
    whole = beside.read_bytes()
    foreign = tmp_path / "foreign.npy"
    np.save(foreign, np.zeros((50, D)))
    fewer = tmp_path / "fewer.npy"
    np.save(fewer, vectors[:49])
    for data in (b"", whole[:100], whole[:-1], b"x" * 500, foreign.read_bytes()):
        beside.write_bytes(data)
        with pytest.raises(GalleryDamaged, match=r"vectors\.npy is damaged.*fetch the gallery"):
            PackedEngine.open(path)
    beside.write_bytes(fewer.read_bytes())
    with pytest.raises(GalleryDamaged, match=r"has 50 rows, and vectors\.npy beside it 49"):
        PackedEngine.open(path)
    beside.unlink()
    with pytest.raises(GalleryDamaged, match=r"vectors\.npy is missing"):
        PackedEngine.open(path)
    beside.write_bytes(whole)
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(GalleryDamaged, match="damaged"):
        PackedEngine.open(path)
    path.unlink()
    with pytest.raises(GalleryDamaged, match="is missing"):
        PackedEngine.open(path)
    EmbeddedEngine.create(path, D).close()
    with pytest.raises(GalleryDamaged, match="no catalogue of a packed gallery"):
        PackedEngine.open(path)


def test_a_writer_notices_rows_out_of_order_or_missing(tmp_path: Path) -> None:
    rows, vectors = content(1, 5)
    rows.sort(key=lambda row: row.key)

    def attempt(folder: Path, order: list[int]) -> None:
        folder.mkdir()
        writer = PackedWriter(folder / "catalogue.sqlite", 5, D)
        writer.add([rows[i] for i in order], vectors[order])
        writer.finish()

    attempt(tmp_path / "right", [0, 1, 2, 3, 4])
    for number, wrong in enumerate(([0, 2, 1, 3, 4], [0, 1, 1, 2, 3], [0, 1, 2, 3])):
        with pytest.raises(GalleryError, match="changed while it was packed"):
            attempt(tmp_path / str(number), wrong)
