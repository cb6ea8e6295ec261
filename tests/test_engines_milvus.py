"""The engine over Milvus: what the one body of tests for all engines can't ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milvus_server import MilvusServer, open_emptied
from vizinho.engines import Engine, Filter, Row
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import parse_milvus
from vizinho.errors import GalleryDamaged, GalleryError, GalleryNotFound, GalleryUnreachable

pytestmark = pytest.mark.milvus

D = 12
METADATA: list[dict[str, Any]] = [{}, {"n": 1}, {"n": 1.0, "x": "y"}, {"n": True}, {"n": "1"}]
FILTERS: list[Filter | None] = [
    None,
    {"label": "a"},
    {"label": None},
    {"label": 'b" or key != "'},
    {"n": 1},
    {"n": True},
    {"n": "1"},
    {"n": None},
    {"label": "a", "x": "y"},
]


@pytest.fixture
def engine(milvus: MilvusServer) -> Iterator[MilvusEngine]:
    engine = open_emptied(milvus, D)()
    yield engine
    engine.close()


def row(key: str, label: str | None = None, **metadata: Any) -> Row:
    return Row(key, f"/{key}", f"hash of {key}", label, metadata)


def random_vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, D)).astype(np.float32)


def test_both_engines_answer_alike_after_the_same_thousand_operations(
    engine: MilvusEngine, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    embedded = EmbeddedEngine.create(tmp_path / "catalogue.sqlite", D)
    both: tuple[Engine, Engine] = (embedded, engine)
    searches = 0
    for step in range(1000):
        dice = rng.random()
        keys = [f"k{number:03d}" for number in rng.integers(0, 200, rng.integers(1, 9))]
        rows = [
            Row(
                key,
                f"/{step}/{key}",
                f"{key}-{step}",
                [None, "a", 'b" or key != "'][rng.integers(3)],
                METADATA[rng.integers(len(METADATA))],
            )
            for key in dict.fromkeys(keys)
        ]
        if dice < 0.25:
            # Few different values: many vectors are equal, and many distances.
            vectors = rng.integers(0, 3, (len(rows), D)).astype(np.float32)
            remove = [f"k{number:03d}" for number in rng.integers(0, 200, 2)]
            for each in both:
                each.add(rows, vectors, remove=remove)
        elif dice < 0.33:
            told = [each.update(rows) for each in both]
            assert told[0] == told[1], step
        elif dice < 0.43:
            told = [each.remove(keys) for each in both]
            assert told[0] == told[1], step
        elif dice < 0.5:
            after, label = keys[0], rows[0].label
            walked = [each.walk(after, 20, label) for each in both]
            assert walked[0] == walked[1], step
            scanned = [each.scan(int(rng.integers(30)), 20, label) for each in [both[0]]]
            assert scanned[0] is not None
            hashes = [f"{key}-{number}" for key in keys for number in range(0, 1000, 97)]
            assert embedded.find(hashes) == engine.find(hashes), step
        else:
            query = rng.integers(0, 3, (int(rng.integers(1, 4)), D)).astype(np.float32)
            k, offset = int(rng.integers(1, 30)), int(rng.choice([0, 0, 5]))
            wanted = FILTERS[rng.integers(len(FILTERS))]
            exact = bool(rng.random() < 0.2)
            found = [
                each.search(query, k, offset=offset, filter=wanted, exact=exact) for each in both
            ]
            assert found[0] == found[1], (step, wanted, k, offset)
            searches += 1
    assert searches > 400
    everything = embedded.walk(limit=1000)
    assert engine.walk(limit=1000) == everything
    assert engine.scan(17, 40) == embedded.scan(17, 40)
    assert (engine.count(), engine.labels()) == (embedded.count(), embedded.labels())
    names = [each.key for each in everything]
    np.testing.assert_array_equal(engine.vectors(names), embedded.vectors(names))
    embedded.close()


def test_a_batch_may_be_repeated_and_two_may_write_at_once(milvus: MilvusServer) -> None:
    open_one = open_emptied(milvus, D)
    vectors = random_vectors(1, 400)
    rows = [row(f"k{number:03d}") for number in range(400)]
    troubles: list[BaseException] = []

    def write(start: int) -> None:
        writer = open_one()
        try:
            for first in range(start, start + 250, 25):
                for _ in range(2):
                    writer.add(rows[first : first + 25], vectors[first : first + 25])
        except BaseException as error:
            troubles.append(error)
        writer.close()

    # The two overlap in the middle.
    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    reader = open_one()
    assert reader.walk(limit=500) == rows
    assert reader.count() == 400
    for number, (hit,) in enumerate(reader.search(vectors, 1)):
        assert (hit.key, hit.distance) == (f"k{number:03d}", 0.0)
    reader.close()


@pytest.mark.parametrize(
    "key",
    ['a"b', "a'b", "back\\slash", "ends\\", '"] or key != "', "tab\tline\n", "é 猫 \U0001f431"],
)
def test_a_text_is_never_taken_for_an_expression(engine: MilvusEngine, key: str) -> None:
    odd = replace(row(key, label=key), metadata={key: key}, hash=key, url=key)
    engine.add([odd, row("other", "x", other=1)], random_vectors(2, 2))
    assert engine.get([key]) == [odd]
    assert engine.find([key]) == {key: key}
    assert engine.walk(label=key) == [odd]
    assert [hit.key for hit in engine.search(random_vectors(3, 1), 5, filter={key: key})[0]] == [
        key
    ]
    assert engine.walk(after=max(key, "other")) == []
    assert engine.remove([key]) == 1
    assert [each.key for each in engine.walk()] == ["other"]


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (row("k" * 5000), "key"),
        (row("k", "l" * 5000), "label"),
        (row("k", None, text="x" * 70_000), "metadata"),
        (replace(row("k"), url="u" * 20_000), "url"),
        (row("k", None, **{f"n{number}": number for number in range(2100)}), "fields"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_written(
    engine: MilvusEngine, odd: Row, what: str
) -> None:
    with pytest.raises(GalleryError, match=what):
        engine.add([row("good"), odd], random_vectors(4, 2))
    assert engine.count() == 0


def test_pages_and_searches_reach_beyond_what_milvus_answers_at_once(
    engine: MilvusEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus stops at 16,384; here at 50, so that a few hundred rows go beyond it."""
    for module in ("milvus_search", "milvus_schema"):
        monkeypatch.setattr(f"vizinho.engines.{module}.DEEPEST", 50)
    vectors = random_vectors(5, 300)
    rows = [row(f"k{number:03d}", "even" if number % 2 == 0 else "odd") for number in range(300)]
    engine.add(rows, vectors)
    assert engine.scan(120, 30) == rows[120:150]
    assert engine.scan(101, 5, "odd") == rows[203:213:2]
    assert engine.scan(300, 5) == []
    order = np.argsort(np.linalg.norm(vectors.astype(np.float64) - vectors[7], axis=1))
    (hits,) = engine.search(vectors[7:8], 200, offset=20)
    assert [hit.key for hit in hits] == [f"k{number:03d}" for number in order[20:220]]


def test_a_collection_of_others_is_left_alone(milvus: MilvusServer) -> None:
    from pymilvus import MilvusClient

    address = parse_milvus(f"{milvus.uri}/foreign")
    with pytest.raises(GalleryNotFound, match="foreign"):
        MilvusEngine.open(address)
    client = MilvusClient(uri=f"http://127.0.0.1:{milvus.port}")
    client.create_collection("foreign", dimension=4)
    with pytest.raises(GalleryDamaged, match="no gallery"):
        MilvusEngine.open(address)
    client.drop_collection("foreign")
    client.close()


def timed(call: Callable[[], Any]) -> tuple[BaseException | None, float]:
    start = time.monotonic()
    try:
        call()
    except GalleryError as error:
        return error, time.monotonic() - start
    return None, time.monotonic() - start


def test_a_server_that_dies_and_comes_back(
    milvus: MilvusServer, engine: MilvusEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_vectors(8, 50)
    engine.add([row(f"k{number:02d}") for number in range(50)], vectors)
    milvus.kill()
    try:
        with monkeypatch.context() as hurried:
            hurried.setattr("vizinho.engines.milvus_link.READING_SECONDS", 3.0)
            error, _ = timed(lambda: engine.search(vectors[:1], 1))
        assert isinstance(error, GalleryUnreachable)
        assert f"127.0.0.1:{milvus.port}" in error.message
        assert "Start it" in error.hint
        # It is known to be away by now: nobody waits long for the same answer.
        error, seconds = timed(engine.count)
        assert isinstance(error, GalleryUnreachable)
        assert seconds < 30
    finally:
        milvus.start()
    until = time.monotonic() + 240
    while time.monotonic() < until:
        error, _ = timed(lambda: engine.search(vectors[:1], 1))
        if error is None:
            break
    for number, (hit,) in enumerate(engine.search(vectors, 1)):
        assert (hit.key, hit.distance) == (f"k{number:02d}", 0.0)
    engine.add([row("new")], vectors[:1] + 9)
    assert engine.count() == 51


def test_nobody_at_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READING_SECONDS", "_FIRST_SECONDS"):
        monkeypatch.setattr(f"vizinho.engines.milvus_link.{name}", 0.5)
    with pytest.raises(GalleryUnreachable, match=r"127\.0\.0\.1:1 does not answer"):
        MilvusEngine.open(parse_milvus("milvus://127.0.0.1:1/cars"))
