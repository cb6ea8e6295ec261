from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from toys import TOY_DIMENSION, TOY_SPEC, encode, make_toy_bundle, noise, plain
from vizinho.bundle import resolve_bundle, write_bundle
from vizinho.embedder import Embedder
from vizinho.errors import BundleError, NotAnImage


def write_network(folder: Path, nodes, initializers=(), dimension: int = 3, **names: str) -> Path:
    source, result = names.get("source", "images"), names.get("result", "embeddings")
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_bundle(
        folder,
        model.SerializeToString(),
        name=folder.name,
        dimension=dimension,
        preprocess=TOY_SPEC,
        normalised=False,
    )
    return folder


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolutional network with random weights, 16 numbers out: sums that rounding can touch."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w1", (32, 3, 3, 3)), ("w2", (64, 32, 3, 3)), ("w3", (16, 64, 3, 3)))
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["embeddings"]),
    ]
    return write_network(tmp_path_factory.mktemp("bundles") / "deep", nodes, weights, 16)


def test_the_vectors_are_those_of_the_pictures(toy_bundle: Path, tmp_path: Path) -> None:
    embedder = Embedder.open(toy_bundle)
    image = plain((255, 0, 51))
    path = tmp_path / "a.png"
    path.write_bytes(encode(image))
    vectors = embedder.embed([image, encode(image), path, str(path), plain((0, 255, 0), (90, 50))])
    expected = np.repeat([1.0, 0.0, 0.2], 4)
    np.testing.assert_allclose(vectors[:4], np.tile(expected, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(vectors[4], np.repeat([0, 1, 0], 4), atol=1e-6)
    assert vectors.dtype == np.float32
    assert (embedder.name, embedder.dimension) == ("toy", TOY_DIMENSION)
    assert embedder.spec == TOY_SPEC


def test_nothing_in_nothing_out(toy_bundle: Path) -> None:
    embedder = Embedder.open(toy_bundle)
    assert embedder.embed([]).shape == (0, TOY_DIMENSION)
    assert embedder.embed_pixels(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, TOY_DIMENSION)


def test_batches_cover_every_picture_in_order(toy_bundle: Path) -> None:
    embedder = Embedder.open(toy_bundle)
    pixels = np.stack([np.full((32, 32, 3), i, np.uint8) for i in range(11)])
    heard: list[tuple[int, int | None]] = []
    vectors = embedder.embed_pixels(
        pixels, batch=4, progress=lambda done, total: heard.append((done, total))
    )
    np.testing.assert_allclose(vectors[:, 0], np.arange(11) / 255, atol=1e-6)
    assert heard == [(4, 11), (8, 11), (11, 11)]


def test_alone_or_among_256_a_picture_is_at_the_same_place(deep: Path) -> None:
    """Distance shown as 0.00, with room: vectors here have lengths around 1."""
    embedder = Embedder.open(deep)
    pixels = np.stack([np.asarray(noise(i)) for i in range(256)])
    together = embedder.embed_pixels(pixels, batch=256).astype(np.float64)
    assert np.linalg.norm(together - together[0], axis=1)[1:].min() > 0.001
    threads = Embedder.open(deep, threads=2).embed_pixels(pixels, batch=32)
    for i in range(0, 256, 17):
        alone = embedder.embed_pixels(pixels[i : i + 1])
        assert np.linalg.norm(alone - together[i]) < 1e-5
        assert np.linalg.norm(threads[i] - together[i]) < 1e-5


def test_the_shipped_model_gives_a_picture_the_same_place_in_any_batch() -> None:
    try:
        embedder = Embedder.open(resolve_bundle(None))
    except BundleError as error:
        pytest.skip(f"no shipped model yet: {error.message}")
    pixels = np.stack([np.asarray(noise(i)) for i in range(256)])
    together = embedder.embed_pixels(pixels, batch=256).astype(np.float64)
    for i in (0, 100, 255):
        assert np.linalg.norm(embedder.embed_pixels(pixels[i : i + 1]) - together[i]) < 0.0005


def test_several_threads_get_their_own_answers(deep: Path) -> None:
    embedder = Embedder.open(deep)
    images = [noise(i) for i in range(40)]
    expected = embedder.embed(images)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: embedder.embed([image])[0], images))
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-5)


def test_a_picture_that_is_none_is_the_images_error(toy_bundle: Path) -> None:
    with pytest.raises(NotAnImage):
        Embedder.open(toy_bundle).embed([plain((1, 2, 3)), b"no picture at all"])


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, number: float) -> None:
    factor = numpy_helper.from_array(np.array(number, np.float32), "factor")
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "factor"], ["embeddings"]),
    ]
    embedder = Embedder.open(write_network(tmp_path / "bad", nodes, [factor]))
    with pytest.raises(BundleError, match="not finite"):
        embedder.embed([plain((9, 9, 9))])


def test_a_wrong_length_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["embeddings"]),
    ]
    embedder = Embedder.open(write_network(tmp_path / "short", nodes, dimension=64))
    with pytest.raises(BundleError, match=r"\[1, 3\] where \[1, 64\]"):
        embedder.embed([plain((9, 9, 9))])


def test_a_network_with_other_names_is_refused_on_opening(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["pictures"], ["embeddings"])]
    with pytest.raises(BundleError, match=r"no float32 input named 'images' \(it has pictures"):
        Embedder.open(write_network(tmp_path / "names", nodes, source="pictures"))
    nodes = [helper.make_node("Flatten", ["images"], ["features"])]
    with pytest.raises(BundleError, match="no float32 output named 'embeddings'"):
        Embedder.open(write_network(tmp_path / "names2", nodes, result="features"))


def test_bytes_that_are_no_network_are_refused(tmp_path: Path) -> None:
    write_bundle(
        tmp_path / "junk",
        b"not a network",
        name="junk",
        dimension=3,
        preprocess=TOY_SPEC,
        normalised=False,
    )
    with pytest.raises(BundleError, match="can't load the model"):
        Embedder.open(tmp_path / "junk")


def test_the_same_bundle_is_the_same_model_anywhere(tmp_path: Path, toy_bundle: Path) -> None:
    again = make_toy_bundle(tmp_path)
    assert Embedder.open(again).fingerprint == Embedder.open(toy_bundle).fingerprint
