"""A network in int8: measured for real, kept only behind its gate, never mixed with fp32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from toys import TOY_SPEC, encode, noise, write_pictures
from vizinho.bundle import INT8_FILE, read_bundle, write_bundle
from vizinho.datasets import LabelledImages, load_dataset
from vizinho.embedder import Embedder
from vizinho.errors import BundleError, DatasetError, GalleryDamaged
from vizinho.gallery import Gallery, GalleryView
from vizinho.gallery.pack import pack
from vizinho.train import quantise as quantising
from vizinho.train.quantise import quantise

pytestmark = pytest.mark.train


def make_network(folder: Path) -> Path:
    """A bundle with a real convolution: 8 x 8 patches to 8 numbers, averaged on a 2 x 2 grid."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(0, 0.1, (8, 3, 8, 8)).astype(np.float32)
    shape = {"images": ["N", 3, 32, 32], "embeddings": ["N", 32]}
    info = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, of)
        for name, of in shape.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "weights"], ["patches"], strides=[8, 8]),
            helper.make_node("Relu", ["patches"], ["rectified"]),
            helper.make_node(
                "AveragePool", ["rectified"], ["grid"], kernel_shape=[2, 2], strides=[2, 2]
            ),
            helper.make_node("Flatten", ["grid"], ["embeddings"]),
        ],
        "conv",
        [info["images"]],
        [info["embeddings"]],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "conv"
    write_bundle(
        path,
        model.SerializeToString(),
        name="conv",
        dimension=32,
        preprocess=TOY_SPEC,
        normalised=False,
    )
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A bundle that nothing was quantised of."""
    return make_network(tmp_path)


@pytest.fixture
def labelled(tmp_path: Path) -> LabelledImages:
    """80 pictures of two classes."""
    for number, label in enumerate(("cat", "dog")):
        write_pictures(tmp_path / "labelled" / label, 40, seed=number)
    return load_dataset(str(tmp_path / "labelled"))


def test_what_fails_the_gate_is_not_written(network: Path, labelled: LabelledImages) -> None:
    before = sorted(path.name for path in network.iterdir())
    found = quantise(network, labelled, held_out=40)
    assert found.images == 40
    # Neighbours of noise are close together, and eight bits can't tell them apart.
    assert 0.5 < found.recall_at_10 < quantising.LEAST_RECALL_AT_10
    assert not found.passed
    assert sorted(path.name for path in network.iterdir()) == before
    assert "int8" not in read_bundle(network).metrics
    with pytest.raises(BundleError, match="none has passed the recall gate"):
        Embedder.open(network, precision="int8")
    with pytest.raises(BundleError, match="none has passed"):
        Gallery.create(network.parent / "g.vizinho", model=network, precision="int8")
    assert not (network.parent / "g.vizinho").exists()


def test_the_gate_is_where_it_was_agreed_to_be() -> None:
    figures = {
        "images": 2000,
        "precision_at_1_fp32": 0.927,
        "query_seconds_int8": 0.003,
        "query_seconds_fp32": 0.006,
        "bytes_int8": 1,
        "bytes_fp32": 4,
        "sha256": "",
    }
    for recall, top_1, passes in (
        (0.99, 0.926, True),
        (1.0, 0.94, True),
        (0.9899, 0.927, False),
        (0.999, 0.9255, False),
    ):
        found = quantising.Quantised(recall_at_10=recall, precision_at_1_int8=top_1, **figures)
        assert found.passed == passes


def test_too_few_pictures_are_no_proof(network: Path, labelled: LabelledImages) -> None:
    with pytest.raises(DatasetError, match="too few pictures"):
        quantise(network, labelled, held_out=8)


@pytest.fixture
def quantised(network: Path, labelled: LabelledImages, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose network in int8 passed a gate that was lowered for it."""
    monkeypatch.setattr(quantising, "LEAST_RECALL_AT_10", 0.5)
    monkeypatch.setattr(quantising, "MOST_TOP_1_LOST", 1.0)
    assert quantise(network, labelled, held_out=40).passed
    return network


def test_what_passes_is_kept_with_its_figures(quantised: Path) -> None:
    info = read_bundle(quantised)
    assert info.metrics["int8"]["images"] == 40
    assert info.metrics["int8"]["query_seconds_int8"] > 0
    pictures = [encode(noise(seed)) for seed in range(8)]
    exact = Embedder.open(quantised).embed(pictures)
    rough = Embedder.open(quantised, precision="int8").embed(pictures)
    assert 0 < np.abs(exact - rough).max() < 0.1 * np.abs(exact).max()
    with pytest.raises(BundleError, match="no precision 'int4'"):
        Embedder.open(quantised, precision="int4")
    file = quantised / INT8_FILE
    file.write_bytes(file.read_bytes() + b"?")
    with pytest.raises(BundleError, match="not the network"):
        Embedder.open(quantised, precision="int8")
    assert Embedder.open(quantised).embed(pictures).tolist() == exact.tolist()


def test_a_gallery_keeps_to_one_precision(quantised: Path, pictures: Path) -> None:
    path, packed = pictures.parent / "g.vizinho", pictures.parent / "packed.vizinho"
    query = next(pictures.rglob("*.png"))
    with Gallery.create(path, model=quantised, precision="int8") as gallery:
        gallery.sync_folder(pictures)
        assert gallery.info["precision"] == "int8"
        info = pack(gallery, packed, lambda row: row.url)
    for place in (path, packed):
        with GalleryView.open(place) as view:
            assert view.search(query, k=1)[0].distance == 0.0
            rough = Embedder.open(quantised, precision="int8").embed([query])
            assert view.vectors([view.search(query, k=1)[0].key]).tolist() == rough.tolist()
    assert json.loads((packed / "gallery.json").read_text())["digest"] == info.digest
    (packed / "model" / INT8_FILE).unlink()
    with pytest.raises(GalleryDamaged, match=r"model\.int8\.onnx has 0 bytes"):
        GalleryView.open(packed)


def test_the_command_line_says_what_it_can_not_do(quantised: Path, pictures: Path) -> None:
    from typer.testing import CliRunner

    from vizinho.cli import build_app

    place = str(pictures.parent / "g.vizinho")

    def index(*more: str) -> str:
        arguments = ["index", str(pictures), "-g", place, "-m", str(quantised), *more]
        done = CliRunner().invoke(build_app(), arguments)
        assert done.exit_code in (0, 1), done.output
        return " ".join(done.output.split()) if done.exit_code else ""

    assert "no precision 'int4'" in index("--precision", "int4")
    assert index("--precision", "int8") == ""
    assert index() == ""
    assert "was indexed in int8, not in fp32" in index("--precision", "fp32")
