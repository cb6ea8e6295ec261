"""The derived index: made, believed, kept up with, doubted and made again; SQLite is the truth."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from toy_lists import COUNT, D, brute, clusters, recall, rows_of
from vizinho.engines import training, upkeep
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryError


def test_inverted_lists_find_the_share_asked_for_at_exact_distances(lists: EmbeddedEngine) -> None:
    told = lists.describe()
    assert (told["index"], told["exact"], told["vectors"]) == ("ivf", False, COUNT)
    assert told["measured_recall"] >= 0.99
    assert json.loads(json.dumps(told)) == told
    queries = clusters(100, seed=5)
    assert recall(lists, queries) >= 0.97
    for query in queries[:20]:
        (hits,) = lists.search(query[None], 10)
        vectors = lists.vectors([hit.key for hit in hits]).astype(np.float64)
        true = np.sqrt(((vectors - query) ** 2).sum(axis=1))
        np.testing.assert_allclose([hit.distance for hit in hits], true, rtol=1e-12)


def test_every_vector_finds_itself_first_at_nought(lists: EmbeddedEngine) -> None:
    vectors = clusters(COUNT)
    for start in range(0, COUNT, 500):
        for i, hits in enumerate(lists.search(vectors[start : start + 500], 1), start):
            assert (hits[0].key, hits[0].distance) == (f"k{i:06d}", 0.0)
    for i in range(0, COUNT, 97):  # one at a time goes another way through FAISS
        ((hit,),) = lists.search(vectors[i : i + 1], 1)
        assert (hit.key, hit.distance) == (f"k{i:06d}", 0.0)


@pytest.mark.parametrize("kind", ["copies", "grid", "bursts"])
def test_awkward_vectors_find_themselves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Equal centres, ties between cells, more near-duplicates than candidates."""
    monkeypatch.setattr("vizinho.engines.building._WORTH", 0.0)
    rng = np.random.default_rng(1)
    if kind == "copies":
        vectors = np.repeat(rng.normal(size=(30, D)), 100, axis=0)
    elif kind == "grid":
        vectors = rng.integers(0, 2, (3000, D)).astype(np.float64)
    else:
        vectors = np.repeat(rng.normal(size=(15, D)), 200, axis=0)
        vectors = 500 + vectors + rng.normal(0, 1e-4, vectors.shape)
    vectors = vectors.astype(np.float32)
    with EmbeddedEngine.create(tmp_path / "c.sqlite", D) as engine:
        engine.add(rows_of(range(3000)), vectors)
        engine.options(latency_ms=1e-3)
        engine.optimise(force=True)
        for i in range(0, 3000, 41):
            (hits,) = engine.search(vectors[i : i + 1], 3)
            assert hits[0].distance == 0.0, engine.describe()
            (true,) = engine.search(vectors[i : i + 1], 3, exact=True)
            if kind == "bursts":
                assert hits[0].key == f"k{i:06d}"
            assert [hit.distance for hit in hits][:1] == [hit.distance for hit in true][:1]


def test_random_changes_are_seen_by_every_reader_with_the_index_as_it_is(lists_path: Path) -> None:
    rng = np.random.default_rng(3)
    writer = EmbeddedEngine.open(lists_path)
    readers = [EmbeddedEngine.open(lists_path) for _ in range(3)]
    model = {f"k{i:06d}": vector for i, vector in enumerate(clusters(COUNT))}
    labels = {key: f"l{int(key[1:]) % 10}" for key in model}
    for step in range(120):
        numbers = rng.integers(0, COUNT + 400, rng.integers(1, 20)).tolist()
        dice = rng.random()
        if dice < 0.4:
            rows = list({row.key: row for row in rows_of(numbers, "new")}.values())
            vectors = clusters(len(rows), seed=100 + step)
            writer.add(rows, vectors)
            model.update({row.key: vector for row, vector in zip(rows, vectors, strict=True)})
            labels.update({row.key: "new" for row in rows})
        elif dice < 0.7:
            keys = {row.key for row in rows_of(numbers)}
            assert writer.remove(sorted(keys)) == len(keys & model.keys())
            for key in keys & model.keys():
                del model[key], labels[key]
        elif dice < 0.8:
            rows = rows_of(numbers, "told")
            writer.update(rows)
            labels.update({row.key: "told" for row in rows if row.key in model})
        elif dice < 0.83:
            writer.optimise(force=True)
        reader = readers[rng.integers(3)]
        assert reader.count() == len(model)
        keys = list(model)
        own = keys[rng.integers(len(keys))]
        (hits,) = reader.search(model[own][None], 5)
        assert (hits[0].distance, hits[0].row.label) == (0.0, labels[hits[0].key])
        assert all(hit.key in model for hit in hits)
        for hit in hits:
            true = float(np.sqrt(((model[hit.key].astype("f8") - model[own]) ** 2).sum()))
            assert hit.distance == pytest.approx(true, rel=1e-12, abs=1e-12)
        matrix = np.stack(list(model.values())).astype(np.float64)
        far = np.sqrt(((matrix - model[own]) ** 2).sum(axis=1))
        expected = sorted(zip(far.tolist(), keys, strict=True))[:5]
        (exact,) = reader.search(model[own][None], 5, exact=True)
        assert [hit.key for hit in exact] == [key for _, key in expected]
    queries = clusters(60, seed=8)
    assert all(recall(reader, queries) >= 0.95 for reader in readers)
    for each in (writer, *readers):
        each.close()


def test_a_filter_gives_k_right_neighbours_wherever_they_are(lists: EmbeddedEngine) -> None:
    far = np.full((3, D), 50, np.float32) + np.eye(3, D, dtype=np.float32)
    lists.add(rows_of([900_000, 900_001, 900_002], "rare"), far)
    (hits,) = lists.search(clusters(1), 3, filter={"label": "rare"})
    assert len(hits) == 3
    for number, query in enumerate(clusters(30, seed=9)):
        wanted = {"label": f"l{number % 10}"}
        (hits,) = lists.search(query[None], 7, offset=2, filter=wanted)
        (true,) = lists.search(query[None], 7, offset=2, filter=wanted, exact=True)
        assert len(hits) == 7
        assert len({hit.key for hit in hits} & {hit.key for hit in true}) >= 6
        assert all(hit.row.label == wanted["label"] for hit in hits)


def test_more_neighbours_than_were_measured_are_all_right(lists: EmbeddedEngine) -> None:
    (query,) = clusters(1, seed=4)
    (hits,) = lists.search(query[None], 300)
    assert [(hit.key, hit.distance) for hit in hits] == brute(lists, query, 300)
    (page,) = lists.search(query[None], 20, offset=150)
    assert page == hits[150:170]


def test_growth_keeps_the_cells_and_drift_chooses_new_ones(
    lists: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    real = training.train
    monkeypatch.setattr(training, "train", lambda matrix: trained.append(1) or real(matrix))
    lists.add(rows_of(range(10_000, 12_500)), clusters(2500, seed=12))
    assert "2,500 pictures were added" in lists.due()
    assert lists.optimise()
    assert trained == []
    assert lists.describe()["tail"] == 0
    # Pictures unlike all before.
    lists.add(rows_of(range(20_000, 22_100)), 30 + 3 * clusters(2100, seed=13))
    assert lists.optimise()
    assert trained == [1]
    assert lists.optimise() is False
    lists.remove([f"k{i:06d}" for i in range(2400)])
    assert "removed" in lists.due()
    assert lists.optimise()
    assert lists.describe()["removed"] == 0
    assert recall(lists, clusters(60, seed=14)) >= 0.95


def test_options_are_remembered_and_choose(
    lists: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.options(latency_ms=1e5)
    assert lists.due() == "other options were given"
    lists.optimise()
    told = lists.describe()
    assert (told["index"], told["exact"], told["latency_ms"]) == ("flat", True, 1e5)
    assert "fast enough" in told["why"]
    lists.options(latency_ms=1e-3, recall=1.0)
    lists.optimise()
    assert "every neighbour" in lists.describe()["why"]
    lists.options(recall=0.9)
    monkeypatch.setattr("vizinho.engines.building._WORTH", 1e9)
    lists.optimise()
    assert "hardly faster" in lists.describe()["why"]
    for bad in ({"latency_ms": 0}, {"recall": 1.5}, {"recall": float("nan")}):
        with pytest.raises(GalleryError):
            lists.options(**bad)


def test_small_galleries_have_no_files_but_are_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedEngine.create(tmp_path / "c.sqlite", D) as engine:
        engine.add(rows_of(range(2000)), clusters(2000))
        assert engine.optimise() is False
        assert not (tmp_path / "index").exists()
        reader = EmbeddedEngine.open(tmp_path / "c.sqlite")
        assert len(reader.search(clusters(1), 5)[0]) == 5
        engine.remove([f"k{i:06d}" for i in range(1500)])
        assert engine.due() == "many rows went"
        engine.optimise()
        assert (engine.due(), engine.describe()["removed"]) == ("", 0)
        assert len(reader.search(clusters(1), 900)[0]) == 500
        reader.close()
        assert engine.remove([f"k{i:06d}" for i in range(2000)]) == 500
        assert engine.optimise(force=True) is False
    assert upkeep.LEAST_NUMBERS > 2000 * D


def test_threads_search_the_lists_while_rows_come_and_the_index_changes(lists_path: Path) -> None:
    vectors = clusters(COUNT)
    writer, reader = EmbeddedEngine.open(lists_path), EmbeddedEngine.open(lists_path)
    done = threading.Event()
    wrong: list[object] = []

    def look(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            while not done.is_set():
                i = int(rng.integers(1000, COUNT))
                (hits,) = reader.search(vectors[i : i + 1], 5)
                if (hits[0].key, hits[0].distance, len(hits)) != (f"k{i:06d}", 0.0, 5):
                    wrong.append(hits)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for step in range(4):
        writer.remove([f"k{i:06d}" for i in range(50 * step, 50 * step + 50)])
        writer.add(rows_of(range(50_000 + step, 50_001 + step)), clusters(1, seed=step) + 9)
        writer.optimise(force=True)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert reader.count() == COUNT - 200 + 4
    writer.close()
    reader.close()
