"""The index of a collection in Milvus: changed by one, searched by others, and cut short."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from milvus_server import MilvusServer, open_emptied
from vizinho.engines import Row
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import parse_milvus
from vizinho.engines.milvus_link import _explained

D = 12


def row(key: str, label: str | None = None) -> Row:
    return Row(key, f"/{key}", f"hash of {key}", label)


def random_vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, D)).astype(np.float32)


@pytest.mark.milvus
def test_every_index_finds_the_nearest_and_exact_is_exact(milvus: MilvusServer) -> None:
    """A graph over few vectors misses none; with a filter that few pass it must not run short."""
    address = parse_milvus(f"{milvus.uri}/indexes?index=hnsw")
    MilvusEngine.create(replace(address, index="flat"), D).close()
    vectors = random_vectors(6, 3000)
    engine = MilvusEngine.open(address)
    for start in range(0, 3000, 500):
        names = [f"k{number:04d}" for number in range(start, start + 500)]
        engine.add(
            [row(name, "rare" if name[-2:] == "77" else None) for name in names],
            vectors[start : start + 500],
        )
    assert engine.describe()["exact"] is True
    reader = MilvusEngine.open(replace(address, index="auto"))
    rare = np.arange(77, 3000, 100)
    queries = random_vectors(7, 20)
    for kind in ("hnsw", "ivf_flat"):
        engine.close()
        engine = MilvusEngine.open(replace(address, index=kind))
        assert engine.tune() is True
        assert engine.tune() is False
        assert engine.describe() | {"server": ""} == {
            "index": kind,
            "exact": False,
            "vectors": 3000,
            "bytes": 3000 * D * 4,
            "server": "",
            "consistency": "session",
        }
        few = engine.search(queries, 25, filter={"label": "rare"})
        # One that was open all the while searches as the index is now.
        exact = reader.search(queries, 10, exact=True)
        assert reader.describe()["index"] == kind
        assert reader.search(queries[:1], 25, filter={"label": "rare"}) == few[:1]
        found = engine.search(queries, 10)
        right = 0
        for query, hits, sure, rares in zip(queries, found, exact, few, strict=True):
            distances = np.linalg.norm(vectors.astype(np.float64) - query, axis=1)
            order = [f"k{number:04d}" for number in np.argsort(distances)[:10]]
            assert [hit.key for hit in sure] == order
            right += len({hit.key for hit in hits} & set(order))
            nearest = rare[np.argsort(distances[rare])][:25]
            assert [hit.key for hit in rares] == [f"k{number:04d}" for number in nearest]
        assert right >= 190
    reader.close()
    engine.close()
    MilvusEngine.drop(address)


@pytest.mark.milvus
def test_a_change_of_index_that_was_cut_short(
    milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after it took the collection away, and after it took the index away."""
    monkeypatch.setattr("vizinho.engines.milvus_link._RELOAD_SECONDS", 0.3)
    open_one = open_emptied(milvus, D)
    reader = open_one()
    vectors = random_vectors(8, 20)
    reader.add([row(f"k{number:02d}") for number in range(20)], vectors)

    def takes_away(client: Any, left: float) -> None:
        client.release_collection(reader.address.name, timeout=left)

    reader._link.call(takes_away)
    assert reader.search(vectors[3:4], 1)[0][0].key == "k03"

    def index_too(client: Any, left: float) -> None:
        takes_away(client, left)
        client.drop_index(reader.address.name, "vector", timeout=left)

    reader._link.call(index_too)
    another = open_one()
    assert another.describe()["index"] == "flat"
    assert [hit.key for (hit,) in another.search(vectors, 1)] == [
        each.key for each in reader.walk()
    ]
    another.close()
    reader.close()


@pytest.mark.milvus
def test_a_search_that_a_busy_server_holds_instead_of_refusing_it(milvus: MilvusServer) -> None:
    """The deadline is all that is heard of a collection that is not loaded: it is loaded then."""
    reader = open_emptied(milvus, D)()
    name = reader.address.name
    seen = []

    def held(client: Any, left: float) -> bool:
        state = client.get_load_state(name, timeout=left)["state"].name
        seen.append(state)
        if state != "Loaded":
            raise TimeoutError("Deadline Exceeded")
        return True

    reader._link.call(lambda client, left: client.release_collection(name, timeout=left))
    assert reader._link.call(held, seconds=0.5)
    assert seen[0] == "NotLoad"
    reader.close()


def test_what_milvus_says_is_told_without_its_traces() -> None:
    address = parse_milvus("milvus://user:secret@here:1/cars")
    trace = "stack trace: /x/stack_trace.go:51 a.io/b.StackTrace /x/y.go:5 a.io/(*C[...]).D"
    again, told = _explained(
        RuntimeError(f"{trace}: attempt #0: collection not fully loaded"), address
    )
    assert again
    assert told.message == (
        "Milvus at here:1 is there, but not ready: collection not fully loaded."
    )
    again, told = _explained(RuntimeError("<_MultiThreadedRendezvous: Deadline Exceeded>"), address)
    assert again
    assert "takes too long" in told.message


def test_the_client_s_own_log_does_not_reach_the_terminal() -> None:
    from vizinho.engines.milvus_link import _library

    _library()
    assert not logging.getLogger("pymilvus.decorators").isEnabledFor(logging.ERROR)
