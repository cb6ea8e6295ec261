from __future__ import annotations

import itertools
import json
import re
import sys

import numpy as np
import pytest

from toy_measured import measure_colours
from vizinho.evaluate import BundleEvaluation, precision_at_1
from vizinho.projection.points import choose_points, project
from vizinho.report import embedding_map
from vizinho.report.embedding_map import MARKERS, PALETTE, make_map, map_html
from vizinho.report.fonts import drawable

# What someone with protanopia, deuteranopia or tritanopia sees of linear RGB: Machado, Oliveira and
# Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009.
SIGHT = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BundleEvaluation:
    return measure_colours(tmp_path_factory.mktemp("map"))


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def oklab(light: np.ndarray) -> np.ndarray:
    """Ottosson's space, in which equal distances look equally large."""
    cones = light @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


@pytest.mark.parametrize(("scheme", "ground"), [("light", "#f4f6f8"), ("dark", "#1d2127")])
def test_colours_are_apart_for_every_eye_and_seen_on_the_ground(scheme: str, ground: str) -> None:
    for sight in SIGHT.values():
        seen = [oklab(np.clip(np.array(sight) @ linear(each), 0, 1)) for each in PALETTE[scheme]]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.08
    luminance = [linear(each) @ [0.2126, 0.7152, 0.0722] for each in (ground, *PALETTE[scheme])]
    low, high = (np.array(each) + 0.05 for each in (luminance[:1] * 10, luminance[1:]))
    assert (np.maximum(low, high) / np.minimum(low, high)).min() > 2.8


def test_the_script_has_a_shape_for_each_marker() -> None:
    script = embedding_map._file("map.js")
    shapes = script[script.index("const SHAPES") : script.index("function polygon")]
    assert len(re.findall(r"^    \(x, y, r\) =>", shapes, re.MULTILINE)) == len(MARKERS)


def test_points_are_the_same_share_of_each_class() -> None:
    labels = np.repeat([0, 1, 2, 3], [600, 300, 99, 1])
    chosen = choose_points(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([60, 30, 10, 1], abs=1)
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, choose_points(labels, 100))
    assert not np.array_equal(chosen, choose_points(labels, 100, seed=1))
    assert choose_points(labels, 5000).tolist() == list(range(1000))


def test_neighbours_stay_neighbours_on_the_plane() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    embeddings = (8 * np.eye(6)[labels] + rng.normal(size=(120, 6))).astype(np.float32)
    plane = project(embeddings)
    assert plane.method == "t-SNE (perplexity 30)"
    assert precision_at_1(plane.places, labels) > 0.95
    assert plane.places.min() >= -1e-9
    assert plane.places.max() <= 1 + 1e-9
    assert np.ptp(plane.places, axis=0).max() == pytest.approx(1)


def test_without_scikit_learn_principal_components_stand_in(
    measured: BundleEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    shown = make_map(measured)
    assert "by principal components" in shown.sentence()
    assert "vizinho[report]" in shown.sentence()
    # Red and blue shades lie in a plane already: nothing is lost but the scale.
    original = np.linalg.norm(measured.embeddings[0] - measured.embeddings[20])
    ratio = np.linalg.norm(shown.plane.places[0] - shown.plane.places[20]) / original
    other = np.linalg.norm(measured.embeddings[3] - measured.embeddings[18])
    assert np.linalg.norm(shown.plane.places[3] - shown.plane.places[18]) / other == pytest.approx(
        ratio, rel=0.05
    )


def test_the_page_holds_each_point_with_its_name_and_nearest(measured: BundleEvaluation) -> None:
    shown = make_map(measured)
    page = map_html(shown)
    data = json.loads(re.findall(r'id="map-data">(.*?)</script>', page, re.DOTALL)[0])
    assert data["name"] == measured.dataset.names
    assert data["classes"] == ["blue <sky>", "lone", "red"]
    assert data["label"] == measured.dataset.labels.tolist()
    assert data["near"] == measured.dataset.labels[measured.neighbours[:, 0]].tolist()
    assert all(0 <= place <= 10_000 for place in (*data["x"], *data["y"]))
    assert "http" not in page


def test_letters_that_the_font_lacks_become_a_number() -> None:
    assert drawable("Ωmega привет", 3) == "Ωmega привет"
    assert drawable("猫", 3) == "class 3"
