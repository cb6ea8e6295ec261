from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toy_measured import measure_colours, position
from toys import make_toy_bundle, plain
from vizinho.datasets import load_dataset
from vizinho.embedder import Embedder
from vizinho.evaluate import BundleEvaluation, evaluate_bundle
from vizinho.report import choose_queries, contact_sheet
from vizinho.report.sheet import AISLE, GAP, HEADING, TILE

GREEN, RED = (0x15, 0x80, 0x3D), (0xDC, 0x26, 0x26)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BundleEvaluation:
    return measure_colours(tmp_path_factory.mktemp("report"))


def test_the_worst_query_is_the_misfiled_picture(measured: BundleEvaluation) -> None:
    groups = choose_queries(measured, count=3)
    wrong = position(measured, "wrong.png")
    assert list(groups) == ["good", "random", "worst"]
    assert groups["worst"][0] == wrong
    assert wrong not in groups["good"]


def test_the_worst_are_surely_wrong_before_they_are_merely_near(
    measured: BundleEvaluation,
) -> None:
    """No right one among them beats distance; one wrong class beats several."""
    labels = measured.dataset.labels
    blue, red = (np.flatnonzero(labels == label)[:10] for label in (0, 2))
    lone = position(measured, "lone/0.png")
    neighbours, distances = measured.neighbours.copy(), measured.distances.copy()
    for query, found, distance in (
        (blue[0], red, 0.9),
        (blue[1], [*red[:9], lone], 0.1),
        (red[3], blue, 0.5),
        (red[4], [*blue[:9], red[0]], 0.01),
    ):
        neighbours[query], distances[query] = found, distance
    worst = choose_queries(replace(measured, neighbours=neighbours, distances=distances))["worst"]
    staged = [query for query in worst if query in (*blue[:2], *red[3:5])]
    assert staged == [red[3], blue[0], blue[1], red[4]]


def test_good_queries_are_spread_over_the_classes(measured: BundleEvaluation) -> None:
    labels = measured.dataset.labels
    good = choose_queries(measured, count=4)["good"]
    assert sorted(labels[good]) == [0, 0, 2, 2]


def test_lone_pictures_are_asked_nowhere(measured: BundleEvaluation) -> None:
    lone = position(measured, "lone/0.png")
    for queries in choose_queries(measured, count=100).values():
        assert lone not in queries
        assert len(set(queries.tolist())) == len(queries) == 25


def test_choice_is_the_same_every_time_and_another_for_another_seed(
    measured: BundleEvaluation,
) -> None:
    first, again, other = (choose_queries(measured, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["random"], other["random"])


def test_frames_tell_right_from_wrong(measured: BundleEvaluation) -> None:
    query = position(measured, "red/05.png")
    sheet = contact_sheet(measured, {"one": [query]})
    labels = measured.dataset.labels
    top = GAP + HEADING
    seen = []
    for place, neighbour in enumerate(measured.neighbours[query]):
        left = GAP + TILE + GAP + AISLE + place * (TILE + GAP)
        assert sheet.getpixel((left + 1, top + 1)) == (
            GREEN if labels[neighbour] == labels[query] else RED
        )
        middle = sheet.getpixel((left + TILE // 2, top + TILE // 2))
        original = measured.dataset.load(int(neighbour)).getpixel((16, 16))
        assert middle == original
        seen.append(sheet.getpixel((left + 1, top + 1)))
    assert {GREEN, RED} == set(seen)
    # The query itself has no frame.
    assert sheet.getpixel((GAP + 1, top + 1)) == (255, 255, 255)


def test_a_picture_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / "wide" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        plain((200, 0, 0), (400, 100)).save(path)
    measured = evaluate_bundle(
        Embedder.open(make_toy_bundle(tmp_path / "model")), load_dataset(str(tmp_path))
    )
    sheet = contact_sheet(measured, {"": [0]})
    column = [sheet.getpixel((GAP + TILE // 2, GAP + HEADING + y)) for y in range(TILE)]
    assert column.count((200, 0, 0)) == (TILE - 8) // 4
