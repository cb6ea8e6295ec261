"""One body of tests for every engine, against a brute-force model in NumPy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vizinho.engines import Engine, Filter, Hit, Row
from vizinho.errors import GalleryError, KeyNotFound

D = 12
OpenEngine = Callable[[], Engine]


def row(number: int, label: str | None = None, **metadata: Any) -> Row:
    return Row(f"k{number:04d}", f"/images/k{number:04d}", f"{number:064x}", label, metadata)


def rows_of(*numbers: int) -> list[Row]:
    return [row(number) for number in numbers]


def random_vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, D)).astype(np.float32)


class Model:
    """What an engine should answer, computed the plain way."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Row, np.ndarray]] = {}

    def add(self, rows: list[Row], vectors: np.ndarray, remove: list[str]) -> None:
        for key in remove:
            self.rows.pop(key, None)
        pairs = zip(rows, vectors, strict=True)
        self.rows.update({row.key: (row, vector) for row, vector in pairs})

    def search(
        self, query: np.ndarray, k: int, offset: int, wanted: Filter | None
    ) -> list[tuple[float, str]]:
        def passes(row: Row) -> bool:
            return all(
                json.dumps(row.label if name == "label" else row.metadata.get(name))
                == json.dumps(value)
                for name, value in (wanted or {}).items()
            )

        ranked = sorted(
            (float(np.sqrt(((vector.astype(np.float64) - query) ** 2).sum())), key)
            for key, (row, vector) in self.rows.items()
            if passes(row)
        )
        return ranked[offset : offset + k]


def same(hits: list[Hit], expected: list[tuple[float, str]]) -> bool:
    distances = [hit.distance for hit in hits]
    return [hit.key for hit in hits] == [key for _, key in expected] and np.allclose(
        distances, [distance for distance, _ in expected], rtol=1e-12, atol=1e-12
    )


def test_a_thousand_random_operations_answer_like_brute_force(open_engine: OpenEngine) -> None:
    rng = np.random.default_rng(11)
    engine, model = open_engine(), Model()
    filters: list[Filter | None] = [
        None,
        {"label": "a"},
        {"label": None},
        {"size": 1},
        {"size": True},
        {"label": "b", "size": 2},
        {"size": None},
        {"label": "nobody"},
    ]
    searched = 0
    # Milvus has its thousand beside the embedded engine's; here they would take a minute more.
    steps = 250 if engine.name == "milvus" else 1000
    for step in range(steps):
        dice = rng.random()
        keys = [f"k{number:04d}" for number in rng.integers(0, 300, rng.integers(1, 8))]
        if dice < 0.35:
            rows = {
                key: Row(
                    key,
                    f"/{step}/{key}",
                    f"{step}-{key}",
                    [None, "a", "b"][rng.integers(3)],
                    [{}, {"size": 1}, {"size": 2, "x": "y"}, {"size": True}][rng.integers(4)],
                )
                for key in keys
            }
            # A coarse grid gives many equal vectors and equal distances.
            vectors = rng.integers(0, 3, (len(rows), D)).astype(np.float32)
            if dice < 0.2:
                vectors += rng.normal(0, 1e-4, vectors.shape).astype(np.float32)
            remove = [f"k{number:04d}" for number in rng.integers(0, 300, rng.integers(0, 3))]
            engine.add(list(rows.values()), vectors, remove=remove)
            model.add(list(rows.values()), vectors, remove)
        elif dice < 0.5:
            present = sum(key in model.rows for key in set(keys))
            assert engine.remove(keys) == present
            model.add([], np.empty((0, D)), keys)
        elif dice < 0.52:
            engine.close()
            engine = open_engine()
        else:
            known = list(model.rows.values())
            query = rng.integers(0, 3, D).astype(np.float32)
            if known and rng.random() < 0.5:
                query = known[rng.integers(len(known))][1]
            k, offset = int(rng.integers(1, 30)), int(rng.choice([0, 0, 3, 40]))
            wanted = filters[rng.integers(len(filters))]
            (hits,) = engine.search(query[None], k, offset=offset, filter=wanted)
            expected = model.search(query.astype(np.float64), k, offset, wanted)
            assert same(hits, expected), (step, k, offset, wanted)
            assert all(hit.row == model.rows[hit.key][0] for hit in hits)
            searched += 1
        assert engine.count() == len(model.rows)
    assert searched > 0.3 * steps
    keys = sorted(model.rows)
    assert engine.scan(0, 1000) == [model.rows[key][0] for key in keys]
    np.testing.assert_array_equal(
        engine.vectors(keys), np.stack([model.rows[key][1] for key in keys])
    )
    engine.close()


def test_a_vector_finds_itself_at_exactly_nought(engine: Engine) -> None:
    vectors = random_vectors(0, 500) * 1000
    engine.add(rows_of(*range(500)), vectors)
    for i, hits in enumerate(engine.search(vectors, 1)):
        assert (hits[0].key, hits[0].distance) == (f"k{i:04d}", 0.0)


def test_distances_are_euclidean_not_squared(engine: Engine) -> None:
    vectors = np.zeros((2, D), np.float32)
    vectors[1, :2] = (3, 4)
    engine.add(rows_of(0, 1), vectors)
    (hits,) = engine.search(vectors[:1], 2)
    assert [hit.distance for hit in hits] == [0.0, 5.0]


def test_differences_beyond_float32_still_rank(engine: Engine) -> None:
    """Around a length of 1000 float32 squares are 0.06 apart; these distances differ by less."""
    base = np.full(D, 300.0, np.float32)
    near = np.stack([base] * 40)
    near[:, 0] += np.linspace(0.2, 0.001, 40, dtype=np.float32)
    engine.add(rows_of(*range(40)), near)
    (hits,) = engine.search(base[None], 40)
    assert [hit.key for hit in hits] == [f"k{i:04d}" for i in reversed(range(40))]
    # Many queries at once go another way through FAISS.
    many = engine.search(np.stack([base] * 64), 5)
    assert {tuple(hit.key for hit in hits) for hits in many} == {
        tuple(f"k{i:04d}" for i in range(39, 34, -1))
    }


def test_equal_distances_are_ordered_by_key_also_at_the_cut(engine: Engine) -> None:
    numbers = list(range(300))
    np.random.default_rng(5).shuffle(numbers)
    engine.add(rows_of(*numbers), np.ones((300, D), np.float32))
    (hits,) = engine.search(np.zeros((1, D), np.float32), 4, offset=2)
    assert [hit.key for hit in hits] == ["k0002", "k0003", "k0004", "k0005"]


def test_pages_follow_each_other(engine: Engine) -> None:
    vectors = random_vectors(1, 90)
    engine.add(rows_of(*range(90)), vectors)
    query = vectors[7:8]
    (whole,) = engine.search(query, 90)
    pages = [engine.search(query, 20, offset=offset)[0] for offset in range(0, 120, 20)]
    assert [hit for page in pages for hit in page] == whole
    assert len(whole) == 90


def test_k_larger_than_the_gallery_and_an_empty_gallery(engine: Engine) -> None:
    query = random_vectors(2, 3)
    assert engine.search(query, 5) == [[], [], []]
    assert engine.search(query[:0], 5) == []
    engine.add(rows_of(1, 2), query[:2])
    assert [len(hits) for hits in engine.search(query, 50)] == [2, 2, 2]
    assert engine.search(query[:1], 5, offset=2) == [[]]
    engine.remove(["k0001", "k0002"])
    assert engine.search(query, 5) == [[], [], []]


@pytest.mark.parametrize(("k", "offset"), [(0, 0), (-1, 0), (5, -1)])
def test_a_page_that_can_not_be_is_an_error(engine: Engine, k: int, offset: int) -> None:
    with pytest.raises(GalleryError, match="must be"):
        engine.search(random_vectors(0, 1), k, offset=offset)


def test_vectors_of_another_length_or_not_finite_are_refused(engine: Engine) -> None:
    with pytest.raises(GalleryError, match=r"\[1, 5\]"):
        engine.add(rows_of(1), np.zeros((1, 5), np.float32))
    with pytest.raises(GalleryError, match=r"\[2, 12\]"):
        engine.add(rows_of(1), np.zeros((2, D), np.float32))
    with pytest.raises(GalleryError, match="not finite"):
        engine.search(np.full((1, D), np.nan, np.float32), 1)
    assert engine.count() == 0


def test_rows_come_back_as_they_went_in(open_engine: OpenEngine) -> None:
    engine = open_engine()
    rows = [
        Row("a/ü ' \"%.png", "/images/x", "h1", None, {}),
        Row("b", "", "h2", "label with \n newline", {"deep": {"list": [1, None, "é"]}}),
    ]
    engine.add(rows, random_vectors(0, 2))
    engine.close()
    engine = open_engine()
    assert engine.get(["b", "nobody", rows[0].key]) == [rows[1], rows[0]]
    assert engine.find(["h2", "h3"]) == {"h2": "b"}
    assert engine.scan(label="label with \n newline") == [rows[1]]
    np.testing.assert_array_equal(engine.vectors(["b"]), random_vectors(0, 2)[1:])
    with pytest.raises(KeyNotFound, match="nobody"):
        engine.vectors(["b", "nobody"])
    engine.close()


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800"])
def test_metadata_that_json_can_not_hold_is_refused_and_nothing_written(
    engine: Engine, value: object
) -> None:
    bad = replace(row(2), metadata={"when": value})
    with pytest.raises(GalleryError, match="k0002"):
        engine.add([row(1), bad], random_vectors(0, 2))
    assert engine.count() == 0


def test_another_connection_sees_what_is_committed(open_engine: OpenEngine) -> None:
    writer, reader = open_engine(), open_engine()
    vectors = random_vectors(6, 6)
    writer.add(rows_of(0, 1, 2), vectors[:3])
    assert [hit.key for hit in reader.search(vectors[1:2], 1)[0]] == ["k0001"]
    writer.add(rows_of(4), vectors[4:5], remove=["k0001"])
    assert [hit.key for hit in reader.search(vectors[4:5], 1)[0]] == ["k0004"]
    assert "k0001" not in {hit.key for hit in reader.search(vectors[1:2], 9)[0]}
    writer.add([replace(row(2), label="new")], vectors[5:6])
    ((hit,),) = reader.search(vectors[5:6], 1)
    assert (hit.key, hit.distance, hit.row.label) == ("k0002", 0.0, "new")
    writer.close()
    reader.close()


def test_searches_from_many_threads_while_rows_come_and_go(open_engine: OpenEngine) -> None:
    """Rows 0..99 stay; every answer has them right, whatever the writer does meanwhile."""
    writer, reader = open_engine(), open_engine()
    vectors = random_vectors(7, 400)
    writer.add(rows_of(*range(100)), vectors[:100])
    done = threading.Event()
    wrong: list[Any] = []

    def look() -> None:
        rng = np.random.default_rng(threading.get_ident() % 1000)
        try:
            while not done.is_set():
                i = int(rng.integers(100))
                (hits,) = reader.search(vectors[i : i + 1], 5)
                if (hits[0].key, hits[0].distance, len(hits)) != (f"k{i:04d}", 0.0, 5):
                    wrong.append(hits)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    step = 30 if writer.name == "milvus" else 10
    for start in range(100, 400, step):
        writer.add(rows_of(*range(start, start + step)), vectors[start : start + step])
        writer.remove([f"k{i:04d}" for i in range(start, start + step // 2)])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert reader.count() == 250
    writer.close()
    reader.close()
