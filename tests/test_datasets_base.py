"""What every data set can do, whatever it was read from."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vizinho.datasets import LabelledImages, Skipped, load_dataset
from vizinho.datasets.base import FileStore, PixelStore, encode_labels
from vizinho.errors import DatasetError, NotAnImage, UnreadableImage
from vizinho.images import load_image
from vizinho.preprocess import PreprocessSpec

COLOURS = [(i * 20, 255 - i * 20, 7) for i in range(10)]


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for path, colour in zip(paths, COLOURS, strict=True):
        Image.new("RGB", (40, 30), colour).save(path)
    labels = np.arange(10) % 3
    return LabelledImages("toy", FileStore(paths), [p.name for p in paths], labels, ["a", "b", "c"])


def test_read_gives_the_file_as_it_is_and_load_the_picture(
    images: LabelledImages, tmp_path: Path
) -> None:
    assert images.read(4) == (tmp_path / "4.png").read_bytes()
    assert images.load(4).getpixel((0, 0)) == COLOURS[4]
    assert len(images) == 10
    assert images.labels.dtype == np.int64


def test_pixels_holds_everything_in_order(images: LabelledImages) -> None:
    calls: list[tuple[int, int | None]] = []
    pixels, kept = images.pixels(PreprocessSpec(size=8), lambda *call: calls.append(call))
    assert pixels.shape == (10, 8, 8, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[:, 0, 0], COLOURS)
    np.testing.assert_array_equal(kept, np.arange(10))
    assert kept.dtype == np.int64
    assert calls[-1] == (10, 10)


def test_broken_pictures_are_left_out_and_listed_once(
    images: LabelledImages, tmp_path: Path
) -> None:
    (tmp_path / "3.png").write_text("no picture")
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:50])
    (tmp_path / "9.png").unlink()
    for _ in range(2):
        pixels, kept = images.pixels(PreprocessSpec())
        assert kept.tolist() == [0, 1, 2, 4, 5, 6, 8]
        np.testing.assert_array_equal(pixels[:, 0, 0], [COLOURS[i] for i in kept])
        assert [item.name for item in images.skipped] == ["3.png", "7.png", "9.png"]
    assert "holds text" in images.skipped[0].reason
    assert "broken or cut short" in images.skipped[1].reason
    assert "is not there" in images.skipped[2].reason
    with pytest.raises(NotAnImage):
        images.load(3)
    with pytest.raises(UnreadableImage):
        images.read(9)


def test_not_one_readable_picture_is_an_error(images: LabelledImages, tmp_path: Path) -> None:
    for path in tmp_path.iterdir():
        path.write_text("no picture")
    with pytest.raises(DatasetError, match="Not one of the 10 pictures of toy"):
        images.pixels(PreprocessSpec())


def test_subset_keeps_order_classes_and_pictures(images: LabelledImages) -> None:
    some = images.subset([7, 2, 5]).subset(np.array([2, 0]))
    assert some.names == ["5.png", "7.png"]
    assert some.labels.tolist() == [2, 1]
    assert some.classes == images.classes
    assert some.load(1).getpixel((0, 0)) == COLOURS[7]
    pixels, _ = some.pixels(PreprocessSpec())
    np.testing.assert_array_equal(pixels[:, 0, 0], [COLOURS[5], COLOURS[7]])


def test_with_classes_counts_labels_in_the_other_sets_order(images: LabelledImages) -> None:
    other = images.with_classes(["c", "x", "a", "b"])
    names = [images.classes[label] for label in images.labels]
    assert [other.classes[label] for label in other.labels] == names
    assert other.load(4).getpixel((0, 0)) == COLOURS[4]
    with pytest.raises(DatasetError, match="lacks: c"):
        images.with_classes(["a", "b"])


def test_with_classes_ignores_a_class_without_pictures(images: LabelledImages) -> None:
    only_a = images.subset(np.flatnonzero(images.labels == 0))
    assert only_a.with_classes(["z", "a"]).labels.tolist() == [1, 1, 1, 1]


def test_raw_pixels_are_encoded_without_loss() -> None:
    raw = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    data = LabelledImages("raw", PixelStore(raw), ["a", "b", "c"], np.zeros(3), ["x"])
    assert data.read(1).startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(load_image(data.read(1))), raw[1])
    pixels, _ = data.pixels(PreprocessSpec())
    np.testing.assert_array_equal(pixels, raw)


def test_jpegs_are_drafted_towards_the_target(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (800, 800), (10, 200, 30)).save(buffer, "JPEG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    data = LabelledImages("j", FileStore([tmp_path / "a.jpg"]), ["a.jpg"], np.zeros(1), ["x"])
    assert data.load(0).size == (800, 800)
    assert data.load(0, target=32).size == (100, 100)


def test_labels_are_sorted_as_people_count() -> None:
    labels, classes = encode_labels(["10", "9", "1", "9"])
    assert classes == ["1", "9", "10"]
    assert labels.tolist() == [2, 1, 0, 1]
    assert encode_labels(["b2", "b10", "a", "7"])[1] == ["7", "a", "b2", "b10"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "does not exist"),
        ("nowhere.csv:test", "does not exist"),
        ("notes.txt", r"suffix is \.txt"),
    ],
)
def test_what_is_no_data_set(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset(spec)
    assert "cifar10:train" in caught.value.hint


def test_reading_data_sets_is_light() -> None:
    code = (
        "import sys, vizinho.datasets; "
        "print([m for m in ('torch', 'pyarrow', 'urllib.request', 'tarfile') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_skipped_is_a_value() -> None:
    assert Skipped("a", "b") == Skipped("a", "b")
