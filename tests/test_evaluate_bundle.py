from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from toys import make_toy_bundle, noise, plain
from vizinho.datasets import LabelledImages, load_dataset
from vizinho.embedder import Embedder
from vizinho.errors import DatasetError
from vizinho.evaluate import evaluate, evaluate_bundle

COLOURS = {"blue": (0, 0, 1), "green": (0, 1, 0), "red": (1, 0, 0)}


def write_colours(root: Path, per_class: int, start: int = 100) -> LabelledImages:
    """A folder of plain pictures in shades of three colours: classes a mean colour can tell."""
    for name, channels in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            shade = start + 10 * i
            red, green, blue = (shade * channel for channel in channels)
            plain((red, green, blue)).save(root / name / f"{i:02}.png")
    return load_dataset(str(root))


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    return Embedder.open(make_toy_bundle(tmp_path))


def test_a_bundle_is_measured_as_its_embeddings_are(embedder: Embedder, tmp_path: Path) -> None:
    for i in range(30):
        path = tmp_path / "noise" / f"class{i % 3}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)
    dataset = load_dataset(str(tmp_path / "noise"))
    found = evaluate_bundle(embedder, dataset)
    embeddings = embedder.embed([dataset.read(i) for i in range(30)])
    assert found.result == evaluate(embeddings, dataset.labels, classes=dataset.classes)
    assert found.neighbours.shape == found.distances.shape == (30, 10)
    apart = np.linalg.norm(embeddings[found.neighbours[7]] - embeddings[7], axis=1)
    assert found.distances[7] == pytest.approx(apart, abs=1e-5)
    assert found.knn_accuracy is None
    assert found.info.name == "toy"


def test_colours_are_told_apart(embedder: Embedder, tmp_path: Path) -> None:
    dataset = write_colours(tmp_path / "colours", 5)
    found = evaluate_bundle(embedder, dataset)
    assert found.result.precision_at_1 == 1.0
    assert found.result.per_class == {"blue": 1.0, "green": 1.0, "red": 1.0}
    # Of ten neighbours four are of the query's colour; they come first.
    assert found.result.r_precision == 1.0


def test_knn_from_another_set_counts_in_the_same_classes(
    embedder: Embedder, tmp_path: Path
) -> None:
    dataset = write_colours(tmp_path / "test", 4)
    # A class that comes first in the training set alone shifts all its label numbers by one.
    for i in range(12):
        path = tmp_path / "train" / "amber" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        plain((250, 190 + i, 0)).save(path)
    against = write_colours(tmp_path / "train", 12, start=95)
    assert against.classes == ["amber", "blue", "green", "red"]
    found = evaluate_bundle(embedder, dataset, against=against)
    assert found.knn_accuracy == 1.0
    assert (found.against, found.against_count) == (against.name, 48)
    plainly = found.to_dict()
    assert plainly["knn_accuracy"] == 1.0
    assert plainly["knn_accuracy_interval"] == [1.0, 1.0]
    assert plainly["knn_references"] == 48


def test_broken_pictures_are_left_out_and_listed(embedder: Embedder, tmp_path: Path) -> None:
    write_colours(tmp_path / "colours", 3)
    (tmp_path / "colours" / "green" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = evaluate_bundle(embedder, load_dataset(str(tmp_path / "colours")))
    assert found.result.references == len(found.dataset) == 8
    assert [Path(skipped.name).name for skipped in found.skipped] == ["00.png"]
    assert all(len(found.dataset.read(i)) > 0 for i in range(8))
    assert found.to_dict()["skipped"] == 1


def test_part_of_a_set_is_measured_among_itself(embedder: Embedder, tmp_path: Path) -> None:
    dataset = write_colours(tmp_path / "colours", 4)
    reds = dataset.subset(np.flatnonzero(dataset.labels != 1))
    found = evaluate_bundle(embedder, reds)
    assert found.result.references == 8
    assert list(found.result.per_class) == ["blue", "red"]
    assert found.embeddings.shape == (8, 12)


def test_threads_change_no_figure() -> None:
    """The shipped model: sums inside a layer are not shared out, so vectors are the same bits."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    one, two = (Embedder.open(threads=threads).embed_pixels(pixels) for threads in (1, 2))
    assert np.array_equal(one, two)


def test_one_picture_is_too_few(embedder: Embedder, tmp_path: Path) -> None:
    dataset = write_colours(tmp_path / "colours", 1).subset([0])
    with pytest.raises(DatasetError, match="1 readable picture"):
        evaluate_bundle(embedder, dataset)


def test_progress_counts_up_once_to_the_end(embedder: Embedder, tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    evaluate_bundle(
        embedder,
        write_colours(tmp_path / "test", 4),
        against=write_colours(tmp_path / "train", 6),
        progress=lambda done, total: heard.append((done, total)),
    )
    assert {total for _, total in heard} == {3 * 12 + 2 * 18}
    done = [done for done, _ in heard]
    assert done == sorted(done)
    assert done[-1] == 72


def test_figures_carry_their_protocol_and_machine(embedder: Embedder, tmp_path: Path) -> None:
    found = evaluate_bundle(embedder, write_colours(tmp_path / "colours", 4)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["protocol"] == "leave-one-out, Euclidean"
    assert found["queries"] == 12
    assert set(found["machine"]) == {"processor", "python", "numpy", "onnxruntime"}
