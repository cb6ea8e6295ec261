"""What every engine says of its rows: walking, updating, labels, and how it searches."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from test_engines import D, Model, random_vectors, row, rows_of, same
from vizinho.engines import Engine, Row
from vizinho.errors import GalleryError


def test_walking_goes_from_key_to_key(engine: Engine) -> None:
    rows = [row(number, "even" if number % 2 == 0 else None) for number in range(50)]
    engine.add(rows[::-1], random_vectors(3, 50))
    seen: list[Row] = []
    while page := engine.walk(seen[-1].key if seen else "", 7):
        assert len(page) <= 7
        seen += page
        # What comes or goes behind the walker shifts nothing.
        engine.remove([page[0].key])
    assert seen == rows
    left = [each for each in rows if each in engine.walk("", 50)]
    assert (
        engine.walk("k0010", 3, "even")
        == [each for each in left if each.label == "even" and each.key > "k0010"][:3]
    )
    assert engine.walk("k0049") == []


def test_updating_changes_what_is_said_of_a_row_and_not_its_vector(engine: Engine) -> None:
    rows = [row(1, "old", x=1), row(2, "old"), row(3)]
    vectors = random_vectors(4, 3)
    engine.add(rows, vectors)
    new = [
        Row("k0001", "/elsewhere", "another hash", "new", {"y": [2]}),
        replace(row(2), label=None),
        row(9, "nobody"),
    ]
    assert engine.update(new) == 2
    assert engine.get(["k0001", "k0002", "k0009"]) == [
        replace(new[0], hash=rows[0].hash),
        new[1],
    ]
    np.testing.assert_array_equal(engine.vectors(["k0001", "k0002", "k0003"]), vectors)
    ((hit,),) = engine.search(vectors[:1], 1, filter={"label": "new"})
    assert (hit.key, hit.distance, hit.row.url) == ("k0001", 0.0, "/elsewhere")
    with pytest.raises(GalleryError, match="k0002"):
        engine.update([replace(row(1), label="x"), row(2, when=object())])
    assert engine.get(["k0001"])[0].label == "new"
    assert engine.update([]) == 0


def test_labels_are_counted(engine: Engine) -> None:
    assert engine.labels() == {}
    labels = ["a", "b", None, "a", "None", "a"]
    engine.add([row(i, label) for i, label in enumerate(labels)], random_vectors(5, 6))
    assert engine.labels() == {"a": 3, "b": 1, None: 1, "None": 1}
    engine.update([row(0, "b")])
    engine.remove(["k0002"])
    assert engine.labels() == {"a": 2, "b": 2, "None": 1}


def test_an_engine_says_how_it_searches(engine: Engine) -> None:
    engine.add(rows_of(*range(20)), random_vectors(6, 20))
    told = engine.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["vectors"] == 20
    assert told["bytes"] >= 20 * D * 4
    assert isinstance(told["index"], str)
    assert isinstance(told["exact"], bool)


def test_exact_search_compares_with_every_vector(engine: Engine) -> None:
    vectors = random_vectors(8, 200)
    engine.add(rows_of(*range(200)), vectors)
    model = Model()
    model.add(rows_of(*range(200)), vectors, [])
    for query in random_vectors(9, 10):
        (hits,) = engine.search(query[None], 15, exact=True)
        assert same(hits, model.search(query.astype(np.float64), 15, 0, None))
