"""Small galleries with inverted lists, as fixtures that all tests know."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vizinho.engines import Row, upkeep
from vizinho.engines.embedded import EmbeddedEngine

D = 16
COUNT = 6000


def clusters(count: int, seed: int = 0) -> np.ndarray:
    """Vectors in forty clusters, where inverted lists pay."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 4, (40, D))
    return (centres[rng.integers(40, size=count)] + rng.normal(0, 0.6, (count, D))).astype("f4")


def rows_of(numbers: range | list[int], label: str | None = None) -> list[Row]:
    return [Row(f"k{n:06d}", f"/images/{n}", f"{n:064x}", label or f"l{n % 10}") for n in numbers]


def brute(engine: EmbeddedEngine, query: np.ndarray, k: int) -> list[tuple[str, float]]:
    (hits,) = engine.search(query[None], k, exact=True)
    return [(hit.key, hit.distance) for hit in hits]


def recall(engine: EmbeddedEngine, queries: np.ndarray, k: int = 10) -> float:
    found = [{hit.key for hit in hits} for hits in engine.search(queries, k)]
    true = [{hit.key for hit in hits} for hits in engine.search(queries, k, exact=True)]
    return float(np.mean([len(a & b) / len(b) for a, b in zip(found, true, strict=True)]))


@pytest.fixture(scope="session")
def lists_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with inverted lists, however fast an exact search is."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vizinho.engines.building._WORTH", 0.0)
        with EmbeddedEngine.create(folder / "catalogue.sqlite", D) as engine:
            engine.add(rows_of(range(COUNT)), clusters(COUNT))
            engine.options(latency_ms=1e-3)
            assert engine.optimise(force=True)
    return folder


@pytest.fixture
def lists_path(lists_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to do with as one likes."""
    monkeypatch.setattr("vizinho.engines.building._WORTH", 0.0)
    monkeypatch.setattr(upkeep, "LEAST_NUMBERS", 1000)
    shutil.copytree(lists_made, tmp_path / "g")
    return tmp_path / "g" / "catalogue.sqlite"


@pytest.fixture
def lists(lists_path: Path) -> Iterator[EmbeddedEngine]:
    """That copy, open."""
    with EmbeddedEngine.open(lists_path) as opened:
        yield opened
