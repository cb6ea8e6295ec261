"""Explanations: the parts add up to the match, and stand where they belong."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from toy_explained import make_explained_bundle
from toys import make_toy_bundle, noise, plain
from vizinho.embedder import Embedder
from vizinho.errors import BundleError, NotExplainable
from vizinho.explain import Explainer, Explanation, explainable
from vizinho.explain.parts import Parts, regions, spread
from vizinho.explain.tail import read_tail
from vizinho.images import Crop

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "cifar10-fastnet"
RED, BLACK = (255, 0, 0), (0, 0, 0)
CLOSE = 1e-5


def quarter(where: tuple[int, int], colour: tuple[int, int, int] = RED) -> Image.Image:
    """A black picture with one quarter, (row, column), in a colour."""
    image = plain(BLACK)
    image.paste(colour, (16 * where[1], 16 * where[0], 16 * where[1] + 16, 16 * where[0] + 16))
    return image


def assert_adds_up(found: Explanation, vectors: NDArray[np.float32]) -> None:
    """Both sides' parts against the embeddings [2, D] that the search would compare."""
    ahead, away = vectors.astype(np.float64)
    scale = max(1.0, float(np.linalg.norm(ahead) * np.linalg.norm(away)))
    assert abs(found.similarity - ahead @ away) < CLOSE * scale
    for side, vector in ((found.query, ahead), (found.match, away)):
        assert abs(side.values.sum() + side.bias - ahead @ away) < CLOSE * scale
        assert abs(side.length - np.linalg.norm(vector)) < CLOSE * max(1.0, side.length)
    squared = found.query.length**2 + found.match.length**2 - 2 * found.similarity
    assert abs(squared - found.distance**2) < 2 * CLOSE * scale
    assert abs(found.distance - np.linalg.norm(ahead - away)) < CLOSE * scale


def test_shipped_model_adds_up() -> None:
    explainer, embedder = Explainer.open(SHIPPED), Embedder.open(SHIPPED)
    assert explainable(SHIPPED)
    for seed in range(0, 20, 2):
        pictures = [noise(seed), noise(seed + 1, (48, 40))]
        found = explainer.explain(*pictures)
        assert_adds_up(found, embedder.embed(pictures))
        assert found.query.values.shape == found.match.values.shape == (4, 4)
        assert found.query.bias == 0.0
        # Not one number laid over everything.
        assert found.query.values.std() > 0.01


def test_same_picture_shows_the_same_on_both_sides() -> None:
    found = Explainer.open(SHIPPED).explain(noise(5), noise(5))
    assert np.array_equal(found.query.values, found.match.values)
    assert (found.distance, found.similarity) == (0.0, pytest.approx(1.0, abs=1e-9))


def test_mirrored_picture_shows_the_mirrored_map() -> None:
    # The shipped model embeds both sides of a picture, so a mirrored one is the same vector; its
    # map must be mirrored too, which one misplaced view would break.
    picture = noise(8)
    there = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    explainer = Explainer.open(SHIPPED)
    values = explainer.explain(picture, noise(9)).query.values
    mirrored = explainer.explain(there, noise(9)).query.values
    assert np.abs(values[:, ::-1] - mirrored).max() < 1e-6
    assert np.abs(values - mirrored).max() > 1e-3


def test_averages_by_hand(tmp_path: Path) -> None:
    explainer = Explainer.open(make_explained_bundle(tmp_path))
    found = explainer.explain(quarter((0, 1)), plain(RED))
    # Embeddings (0.5, 0, 0.5) and (2, 0, 0.5): 1 of the dot product is the red quarter's, 0.25 the
    # constants'. On the other side the four quarters share the 1.
    assert found.similarity == pytest.approx(1.25)
    assert np.allclose(found.query.values, [[0, 1], [0, 0]])
    assert np.allclose(found.match.values, 0.25)
    assert found.query.bias == found.match.bias == pytest.approx(0.25)
    assert found.distance == pytest.approx(1.5)
    assert found.query.length == pytest.approx(math.sqrt(0.5))


def test_a_maximum_counts_where_it_is_and_ties_share_it(tmp_path: Path) -> None:
    explainer = Explainer.open(make_explained_bundle(tmp_path, pooling="ReduceMax"))
    found = explainer.explain(quarter((1, 0)), plain(RED))
    assert np.allclose(found.query.values, [[0, 0], [4, 0]])
    assert np.allclose(found.match.values, 1)
    darker = quarter((1, 0), (128, 0, 0))
    darker.paste(RED, (16, 0, 32, 16))
    assert np.allclose(explainer.explain(darker, plain(RED)).query.values, [[0, 4], [0, 0]])


def test_what_speaks_against_a_match_is_negative(tmp_path: Path) -> None:
    path = make_explained_bundle(tmp_path)
    weight = read_tail((path / "model.onnx").read_bytes()).views[0].weight
    assert weight is not None
    assert weight.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    grid = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    found = regions(Parts(grid, np.zeros(2)), np.array([1.0, -2.0]), Crop(0, 0, 1, 1))
    assert found.values.tolist() == [[1.0, -2.0]]


def test_box_is_what_the_network_saw(tmp_path: Path) -> None:
    explainer = Explainer.open(make_explained_bundle(tmp_path))
    wide = plain(BLACK, (64, 32))
    wide.paste(RED, (48, 0, 64, 32))
    found = explainer.explain(wide, plain(RED))
    box = found.query.box
    assert (box.top, box.left, box.bottom, box.right) == (0, 0.25, 1, 0.75)
    # Red lies outside the centred square.
    assert np.allclose(found.query.values, 0)
    found = explainer.explain(wide, plain(RED), crop=Crop(0, 0.5, 1, 1))
    box = found.query.box
    assert (box.top, box.left, box.bottom, box.right) == (0, 0.5, 1, 1)
    assert np.allclose(found.query.values, [[0, 1], [0, 1]])
    found = explainer.explain(wide, plain(RED), crop=Crop(0.5, 0.5, 1, 1))
    box = found.query.box
    assert (box.top, box.left, box.bottom, box.right) == (0.5, 0.625, 1, 0.875)


def test_a_picture_that_changed_is_not_explained(tmp_path: Path) -> None:
    path = make_explained_bundle(tmp_path)
    explainer, kept = Explainer.open(path), Embedder.open(path).embed([plain(RED)])[0]
    found = explainer.explain(plain(BLACK), plain(RED), kept=kept)
    assert found.distance == pytest.approx(2.0)
    with pytest.raises(NotExplainable, match="not the one any more"):
        explainer.explain(plain(BLACK), plain((250, 0, 0)), kept=kept)
    with pytest.raises(NotExplainable, match="not the one any more"):
        explainer.explain(plain(BLACK), plain(RED), kept=kept[:2])


@pytest.mark.parametrize("kind", ["toy", "relu", "no model"])
def test_other_networks_are_not_explained(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "none"
    if kind == "toy":
        path = make_toy_bundle(tmp_path)
    elif kind == "relu":
        path = make_explained_bundle(tmp_path, last="Relu")
    assert not explainable(path)
    with pytest.raises(BundleError if kind == "no model" else NotExplainable):
        Explainer.open(path)


def test_parts_that_do_not_add_up_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As for a network whose end reads like one that can be explained and is not.
    from vizinho.explain import parts

    explainer = Explainer.open(make_explained_bundle(tmp_path))
    monkeypatch.setattr(parts, "_pooled", lambda features, pooling: features * 0.2501)
    with pytest.raises(NotExplainable, match="do not add up"):
        explainer.explain(quarter((0, 0)), plain(RED))


@pytest.mark.parametrize(
    ("count", "start", "step", "size", "expected"),
    [
        # Positions on the regions, and half a region beside them.
        (2, 8, 16, 32, [[1, 0], [0, 1]]),
        (2, 16, 16, 32, [[0.5, 0], [0.5, 1]]),
        # What lies before the picture's edge counts for its first region.
        (2, 0, 16, 32, [[1, 0.5], [0, 0.5]]),
        (1, -40, 16, 32, [[1], [0]]),
        (1, 90, 16, 32, [[0], [1]]),
        # fastnet: three positions of eight pixels, of four regions.
        (
            3,
            4.5,
            8,
            32,
            [[15 / 16, 0, 0], [1 / 16, 15 / 16, 0], [0, 1 / 16, 15 / 16], [0, 0, 1 / 16]],
        ),
        (1, 0.5, 32, 32, [[1]]),
    ],
)
def test_positions_are_laid_onto_regions(
    count: int, start: float, step: float, size: int, expected: list[list[float]]
) -> None:
    assert np.allclose(spread(count, start, step, size), expected)


def test_nothing_of_a_position_is_lost() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count, size = int(rng.integers(1, 20)), int(rng.integers(8, 300))
        shared = spread(count, rng.uniform(-20, 20), rng.uniform(0.5, 64), size)
        assert np.allclose(shared.sum(axis=0), 1)
        assert (shared >= 0).all()
