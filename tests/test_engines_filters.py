"""Searching a part of the rows, by label and metadata, on every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vizinho.engines import Engine, Filter, Row
from vizinho.engines.filters import MOST
from vizinho.errors import GalleryError

D = 12


def row(number: int, label: str | None = None, **metadata: Any) -> Row:
    return Row(f"k{number:04d}", f"/images/k{number:04d}", f"{number:064x}", label, metadata)


def random_vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, D)).astype(np.float32)


def test_filters_keep_the_right_k(engine: Engine) -> None:
    vectors = random_vectors(3, 400)
    rows = [row(i, "even" if i % 2 == 0 else "odd", third=i % 3) for i in range(400)]
    engine.add(rows, vectors)
    (hits,) = engine.search(vectors[:1], 10, filter={"label": "odd", "third": 2})
    order = np.argsort(np.linalg.norm(vectors.astype(np.float64) - vectors[0], axis=1))
    assert [hit.key for hit in hits] == [f"k{i:04d}" for i in order if i % 2 == 1 and i % 3 == 2][
        :10
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"n": 1}, [0, 1]),
        ({"n": True}, [2]),
        ({"n": "1"}, [3]),
        ({"n": None}, [4, 5, 6]),
        ({'we"ird.$[0]': "x"}, [5]),
        ({"n": 1, "more": "é"}, [1]),
        ({"nested": "{}"}, []),
        ({"label": "1"}, []),
    ],
)
def test_metadata_is_equal_as_json_is(engine: Engine, wanted: Filter, found: list[int]) -> None:
    metadata: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 1.0, "more": "é"},
        {"n": True},
        {"n": "1"},
        {"n": None},
        {'we"ird.$[0]': "x"},
        {"nested": {}},
    ]
    rows = [replace(row(i), metadata=data) for i, data in enumerate(metadata)]
    engine.add(rows, random_vectors(4, len(rows)))
    (hits,) = engine.search(random_vectors(5, 1), 10, filter=wanted)
    assert sorted(hit.key for hit in hits) == [f"k{i:04d}" for i in found]


@pytest.mark.parametrize("wanted", [{"a": [1]}, {"a": {}}, {"label": 3}, {"a": float("nan")}])
def test_a_filter_that_can_not_be_compared_is_an_error(engine: Engine, wanted: Filter) -> None:
    with pytest.raises(GalleryError, match="filter"):
        engine.search(random_vectors(0, 1), 1, filter=wanted)


def test_a_filter_of_too_many_fields_is_an_error_and_not_the_engines(engine: Engine) -> None:
    vectors = random_vectors(1, 2)
    engine.add([row(0), row(1, **{f"f{n}": n for n in range(MOST)})], vectors)
    most: dict[str, Any] = {f"f{n}": n for n in range(MOST)}
    (hits,) = engine.search(vectors[:1], 2, filter=most)
    assert [hit.key for hit in hits] == ["k0001"]
    with pytest.raises(GalleryError, match="33 fields; 32 are the most"):
        engine.search(vectors[:1], 2, filter=most | {"one": 1})
