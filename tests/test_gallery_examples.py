"""Several pictures as one query: like these, not like that; worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calibrated import make_labelled_gallery, shade
from toys import encode, make_toy_bundle, noise, plain
from vizinho.bundle import read_bundle, read_model, write_bundle
from vizinho.errors import KeyNotFound, SettingsError, UnreadableImage
from vizinho.gallery import Gallery, GalleryView, NewImage
from vizinho.gallery.examples import Example, combined
from vizinho.images import Crop

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "orange": (255, 128, 0),
    "grey": (128, 128, 128),
}


def make(folder: Path, bundle: Path) -> Path:
    with Gallery.create(folder / "colours.vizinho", model=bundle) as gallery:
        gallery.add(
            NewImage(encode(plain(colour)), key=name, metadata={"warm": colour[0] > colour[2]})
            for name, colour in COLOURS.items()
        )
    return folder / "colours.vizinho"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryView]:
    folder = tmp_path_factory.mktemp("examples")
    with GalleryView.open(make(folder, make_toy_bundle(folder))) as view:
        yield view


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryView]:
    """The same pictures under a model that says of its vectors that they have unit length."""
    from onnx import helper, load_from_string

    folder = tmp_path_factory.mktemp("unit")
    info, data = read_model(make_toy_bundle(folder))
    model = load_from_string(data)
    model.graph.node[-1].output[0] = "flat"
    model.graph.node.append(
        helper.make_node("LpNormalization", ["flat"], ["embeddings"], axis=1, p=2)
    )
    path = folder / "unit"
    write_bundle(
        path,
        model.SerializeToString(),
        name="unit",
        dimension=info.dimension,
        preprocess=info.preprocess,
        normalised=True,
    )
    assert read_bundle(path).normalised
    with GalleryView.open(make(folder, path)) as view:
        yield view


def embedding(*colour: float) -> np.ndarray:
    """Of a picture all of one colour, each part 0..1."""
    return np.repeat(np.array(colour), 4)


def test_a_query_is_the_weighted_mean(gallery: GalleryView) -> None:
    found = gallery.search_examples([Example(key="red"), Example(key="green", weight=0.5)], k=5)
    query = (embedding(1, 0, 0) + 0.5 * embedding(0, 1, 0)) / 1.5
    expected = {
        name: np.linalg.norm(query - embedding(*colour) / 255) for name, colour in COLOURS.items()
    }
    assert [match.key for match in found] == sorted(expected, key=lambda name: expected[name])
    for match in found:
        assert match.distance == pytest.approx(expected[match.key], abs=1e-6)


def test_minus_moves_away(gallery: GalleryView) -> None:
    orange = encode(plain(COLOURS["orange"]))
    plus = gallery.search(orange, k=5)
    assert [match.key for match in plus][:2] == ["orange", "red"]
    found = gallery.search_examples([Example(orange), Example(key="red", weight=-1)], k=5)
    query = (embedding(1, 128 / 255, 0) - embedding(1, 0, 0)) / 2
    assert found[0].distance == pytest.approx(
        min(np.linalg.norm(query - embedding(*c) / 255) for c in COLOURS.values()), abs=1e-6
    )
    assert found[-1].key == "red"


def test_unit_vectors_make_a_unit_query(unit: GalleryView) -> None:
    found = unit.search_examples([Example(key="red"), Example(key="green")], k=5)
    length = np.sqrt(8)
    query = embedding(1, 1, 0) / length
    by_key = {match.key: match.distance for match in found}
    for name, colour in COLOURS.items():
        other = embedding(*colour) / np.linalg.norm(embedding(*colour))
        assert by_key[name] == pytest.approx(np.linalg.norm(query - other), abs=1e-6)
    assert found[0].key == "orange"


def test_formula() -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    query = combined(vectors, [1, 0.5, -0.25], normalised=False)
    assert query.dtype == np.float32
    assert query.tolist() == pytest.approx([1 / 1.75, 0.5 / 1.75, -0.25 / 1.75])
    unit = combined(vectors, [1, 0.5, -0.25], normalised=True)
    assert unit.tolist() == pytest.approx((query / np.linalg.norm(query)).tolist())


def test_one_example_answers_as_the_picture_itself(tmp_path: Path) -> None:
    with GalleryView.open(make_labelled_gallery(tmp_path)) as view:
        data = shade("moss", 999)
        crop = Crop(top=0.25, left=0, bottom=1, right=0.5)
        pairs = [
            (view.search(data, k=12), Example(data)),
            (view.search(data, k=12), Example(data, weight=0.25)),
            (view.search(data, k=12, crop=crop), Example(data, crop=crop)),
            (view.search_key("clay/7.png", 12), Example(key="clay/7.png")),
        ]
        for expected, example in pairs:
            found = view.search_examples([example], 12)
            assert found == expected
            assert (found.known, found.unlikeness) == (expected.known, expected.unlikeness)
            assert found.known is not None
        several = view.search_examples([Example(data), Example(key="clay/7.png")], 12)
        assert (several.known, several.unlikeness) == (None, None)
        assert {match.probability for match in several} == {None}
        cropped = view.search_examples([Example(key="clay/7.png", crop=crop)], 12)
        assert cropped == view.search(view.image_bytes("clay/7.png")[0], k=12, crop=crop)


def test_files_and_keys_may_be_mixed_and_cropped(gallery: GalleryView) -> None:
    canvas = plain((0, 0, 0), (64, 32))
    canvas.paste(plain(COLOURS["blue"]), (32, 0))
    right = Crop(top=0, left=0.5, bottom=1, right=1)
    mixed = [
        Example(key="red"),
        Example(encode(canvas), crop=right),
        Example(noise(1), weight=-0.5),
    ]
    vectors = np.stack(
        [
            embedding(1, 0, 0),
            embedding(0, 0, 1),
            gallery.embedder.embed([noise(1)])[0],
        ]
    )
    query = np.array([1, 1, -0.5]) @ vectors / 2.5
    expected = gallery.search_vectors(query[None].astype(np.float32), 5)[0]
    found = gallery.search_examples(mixed, 5)
    assert [match.key for match in found] == [match.key for match in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.distance == pytest.approx(other.distance, abs=1e-6)


def test_pages_and_filters_hold(gallery: GalleryView) -> None:
    examples = [Example(key="red"), Example(key="grey")]
    whole = gallery.search_examples(examples, 5)
    assert gallery.search_examples(examples, 2, offset=1) == whole[1:3]
    warm = gallery.search_examples(examples, 5, filter={"warm": True})
    assert warm == [match for match in whole if match.metadata["warm"]]


def test_what_makes_no_query_is_refused(gallery: GalleryView, unit: GalleryView) -> None:
    for weight in (0, 1.5, float("nan"), -2):
        with pytest.raises(SettingsError, match="weight"):
            Example(key="red", weight=weight)
    with pytest.raises(SettingsError):
        Example()
    with pytest.raises(SettingsError):
        Example(b"x", key="red")
    for none in ([], [Example(key="red", weight=-1)]):
        with pytest.raises(SettingsError, match="above 0"):
            gallery.search_examples(none)
    against = [Example(key="red"), Example(key="red", weight=-1)]
    with pytest.raises(SettingsError, match="cancel"):
        unit.search_examples(against)
    assert gallery.search_examples(against)
    with pytest.raises(KeyNotFound):
        gallery.search_examples([Example(key="red"), Example(key="nobody")])
    with pytest.raises(UnreadableImage, match="Example 2"):
        gallery.search_examples([Example(key="red"), Example(encode(plain((1, 2, 3)))[:60])])
