"""Points placed on a plane that landmarks made."""

from __future__ import annotations

import numpy as np
import pytest

from toy_map import GROUPS, grouped
from vizinho.evaluate import precision_at_1
from vizinho.projection.placing import Landmarks, _weights
from vizinho.projection.points import Plane, project

COUNT, MARKS = 1500, 300
LABELS = np.arange(COUNT) % GROUPS


@pytest.fixture(scope="module")
def landmarks() -> Landmarks:
    vectors = grouped(COUNT)[:MARKS]
    return Landmarks(vectors, project(vectors))


def test_others_come_to_lie_among_their_kin(landmarks: Landmarks) -> None:
    places = landmarks.place(grouped(COUNT))
    assert precision_at_1(landmarks.plane.places, LABELS[:MARKS]) > 0.98
    assert precision_at_1(places, LABELS) > 0.98
    centres = [landmarks.plane.places[LABELS[:MARKS] == g].mean(axis=0) for g in range(GROUPS)]
    ways = np.linalg.norm(places[:, None] - np.array(centres), axis=2)
    assert (ways.argmin(axis=1) == LABELS).mean() > 0.99


def test_landmarks_stay_and_nothing_piles_up(landmarks: Landmarks) -> None:
    places = landmarks.place(grouped(COUNT))
    assert np.abs(places[:MARKS] - landmarks.plane.places).max() < 1e-9
    assert len(np.unique(np.rint(places * 65535), axis=0)) > 0.99 * COUNT
    assert places.min() > -0.2
    assert places.max() < 1.2


def test_alone_or_among_others_a_point_has_one_place(landmarks: Landmarks) -> None:
    vectors = grouped(COUNT)
    together = landmarks.place(vectors)
    fresh = Landmarks(landmarks.vectors, landmarks.plane)
    for number in (3, MARKS + 7, COUNT - 1):
        assert fresh.place(vectors[number : number + 1])[0] == pytest.approx(
            together[number], abs=1e-4
        )
    # A picture saved anew: hardly another embedding, hardly another place.
    near = landmarks.place(vectors[MARKS:] + np.float32(1e-4)) - together[MARKS:]
    assert np.median(np.linalg.norm(near, axis=1)) < 1e-3


def test_the_repulsion_looked_up_is_that_of_all_landmarks(landmarks: Landmarks) -> None:
    span = landmarks.plane.span
    marks = landmarks.plane.places * span
    there = np.random.default_rng(3).uniform(0, span, (200, 2))
    off = there[:, None] - marks
    kernel = 1 / (1 + (off**2).sum(axis=2))
    true = np.einsum("nm,nmd->nd", kernel**2, off) / kernel.sum(axis=1, keepdims=True)
    found = landmarks._repulsion(there)
    assert np.abs(found - true).max() < 0.03 * np.abs(true).max()


def test_weights_have_the_perplexity_that_was_asked_for() -> None:
    squared = np.random.default_rng(0).uniform(0.1, 9, (50, 15))
    weights = _weights(squared, 5.0)
    entropy = -(weights * np.log(weights)).sum(axis=1)
    assert np.exp(entropy) == pytest.approx(np.full(50, 5.0), rel=1e-3)
    assert (weights.argmax(axis=1) == squared.argmin(axis=1)).all()
    # All as far: as wide as can be, and nothing that is not a number.
    assert _weights(np.ones((1, 15)), 5.0) == pytest.approx(np.full((1, 15), 1 / 15))
    assert _weights(np.zeros((1, 15)), 5.0) == pytest.approx(np.full((1, 15), 1 / 15))


def test_on_principal_components_places_are_the_projections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.manifold", None)
    vectors = grouped(COUNT)
    plane = project(vectors)
    assert plane.method == "principal components"
    assert Landmarks(vectors, plane).place(vectors) == pytest.approx(plane.places, abs=1e-5)


def test_one_landmark_or_none_is_no_trouble() -> None:
    vectors = grouped(4)
    assert Landmarks(vectors[:0], Plane(np.empty((0, 2)), "")).place(vectors).tolist() == (
        [[0.5, 0.5]] * 4
    )
    one = Landmarks(vectors[:1], project(vectors[:1]))
    assert np.isfinite(one.place(vectors)).all()
    assert one.place(vectors[:1]).tolist() == [[0.5, 0.5]]
    alike = np.repeat(vectors[:1], 30, axis=0)
    assert np.isfinite(Landmarks(alike, project(alike)).place(vectors)).all()


def test_progress_is_told_while_t_sne_runs() -> None:
    told: list[tuple[int, int | None]] = []
    project(grouped(60), lambda done, of: told.append((done, of)))
    assert told == sorted(told)
    # It may end early, when nothing moves any more.
    assert 500 <= told[-1][0] <= 1000 == told[-1][1]
    assert len(told) > 5
