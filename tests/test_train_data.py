"""What is trained on and what is kept aside, at any size, in memory or in a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from toy_pictures import scene

pytest.importorskip("torch")

from vizinho.datasets import LabelledImages, load_dataset
from vizinho.errors import DatasetError
from vizinho.train import data
from vizinho.train.data import load_pixels
from vizinho.train.fitting import fitted
from vizinho.train.recipes import Recipe, recipe

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def five(tmp_path_factory) -> LabelledImages:
    """Five classes of twelve pictures; in the first each comes twice, mirrored."""
    folder = tmp_path_factory.mktemp("five")
    for label in range(5):
        (folder / f"class-{label}").mkdir()
        for i in range(12):
            turned = label == 0 and i % 2
            image = scene(40, 40, seed=100 * label + (i - 1 if turned else i))
            image = image.transpose(0) if turned else image
            image.save(folder / f"class-{label}" / f"{i:02}.png")
    return load_dataset(str(folder))


def told(**changes: object) -> Recipe:
    return recipe("fast", **{"size": 24, "holdout": 20, **changes})


def test_near_duplicates_stay_on_one_side(five):
    pixels = load_pixels(five, told(keep_together=True))
    assert pixels.together == 6
    assert "6 groups of near-duplicates (12 pictures)" in pixels.notes[0]
    kept = {image.tobytes() for image in pixels.holdout[pixels.holdout_labels == 0]}
    assert kept
    assert kept == {
        image[:, ::-1].tobytes() for image in pixels.holdout[pixels.holdout_labels == 0]
    }
    plain = load_pixels(five, told())
    assert (plain.together, plain.notes) == (0, ())


def test_unseen_classes_are_whole_and_never_trained_on(five):
    pixels = load_pixels(five, told(unseen=0.4))
    assert len(pixels.classes) == 3
    assert sorted(pixels.classes + pixels.unseen_classes) == five.classes
    assert np.bincount(pixels.unseen_labels).tolist() == [12, 12]
    assert set(pixels.labels) == set(pixels.holdout_labels) == {0, 1, 2}
    assert len(pixels.labels) + len(pixels.holdout) == 36
    whole, kept = five.pixels(told().spec)
    for images, labels, names in (
        (pixels.unseen, pixels.unseen_labels, pixels.unseen_classes),
        (pixels.train[24], pixels.labels, pixels.classes),
        (pixels.holdout, pixels.holdout_labels, pixels.classes),
    ):
        by_pixels = {
            image.tobytes(): five.classes[five.labels[i]]
            for image, i in zip(whole, kept, strict=True)
        }
        assert [by_pixels[image.tobytes()] for image in images] == [names[i] for i in labels]


def test_a_validation_set_s_unseen_classes_are_left_out(five):
    pixels = load_pixels(five, told(unseen=2), five)
    assert len(pixels.holdout) == len(pixels.labels) == 36
    assert set(pixels.holdout_labels) == {0, 1, 2}
    with pytest.raises(DatasetError, match="4 of them are to stay unseen"):
        load_pixels(five, told(unseen=4))


def test_too_large_for_memory_goes_to_a_file_that_leaves_nothing(five, tmp_path, monkeypatch):
    plain = load_pixels(five, told(), run=tmp_path / "run")
    assert not isinstance(plain.train[24], np.memmap)
    monkeypatch.setattr(data, "memory", lambda: 100_000)
    large = load_pixels(five, told(), run=tmp_path / "run")
    assert isinstance(large.train[24], np.memmap)
    assert isinstance(large.train[18], np.memmap)
    assert "0.0 GB of memory" in large.notes[0]
    assert large.digest == plain.digest
    assert np.array_equal(large.train[18], plain.train[18])
    assert not any((tmp_path / "run").iterdir())


def test_a_disk_without_room_for_the_pixels_is_told_before_anything_is_decoded(tmp_path):
    with pytest.raises(DatasetError, match=f"{tmp_path} can't take the"):
        data._on_disk(tmp_path)((2**62,))


def test_memory_is_no_more_than_the_machine_has():
    assert 0 < data.memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("size", "low", "shift"), [(32, 24, 2), (64, 48, 4), (224, 168, 14)])
def test_small_copies_and_shifts_are_a_share_of_the_size(size, low, shift):
    made = recipe("fast", size=size)
    assert (made.low_size, made.shift) == (low, shift)
    assert recipe("thesis", size=size).shift == 0
    assert recipe("fast", size=size, shift=1).shift == 1


class TestFitting:
    def test_sixty_pictures(self, five):
        made, notes = fitted(recipe("fast"), five)
        assert (made.holdout, made.batch_size, made.micro_batch) == (10, 16, 16)
        assert made.keep_together
        assert made.epochs * (50 // 16) >= 300
        assert len(notes) == 4
        assert notes[0] == "holdout is 10, not 2000: there are 60 pictures."

    def test_what_was_told_stays(self, five):
        fields = {"holdout": 20, "batch_size": 30, "micro_batch": 10, "epochs": 2}
        made, notes = fitted(recipe("fast", **fields), five, {*fields, "keep_together"})
        assert made == recipe("fast", **fields)
        assert notes == []

    def test_a_set_like_cifar_changes_nothing(self):
        labels = np.repeat(np.arange(10), 5000)
        images = LabelledImages("cifar10:train", None, [""] * 50_000, labels, list("abcdefghij"))
        for name in ("fast", "fast-triplet", "thesis"):
            assert fitted(recipe(name), images) == (recipe(name), [])

    def test_many_or_unequal_classes_are_balanced_for_losses_over_pairs(self):
        def of(counts: list[int], **fields: object) -> Recipe:
            labels = np.repeat(np.arange(len(counts)), counts)
            names = [str(i) for i in range(len(labels))]
            images = LabelledImages("mine", None, names, labels, [str(i) for i in counts])
            return fitted(recipe("fast-triplet", **fields), images, fields)[0]

        many = of([80] * 100)
        assert (many.per_class, many.micro_batch % 4, many.batch_size % many.micro_batch) == (
            4,
            0,
            0,
        )
        assert of([4000, 300, 300]).per_class == 4
        assert of([4000, 4000, 3000]).per_class == 0
        assert of([80] * 100, loss="softmax").per_class == 0
        assert of([80] * 100, per_class=5, micro_batch=50).per_class == 5
        # A micro-batch that was told and that groups don't fit into is no reason to refuse.
        assert of([80] * 100, micro_batch=50).per_class == 0
        assert of([80] * 100, micro_batch=60).per_class == 4

    def test_large_pictures_come_in_smaller_micro_batches(self, five):
        labels = np.repeat(np.arange(10), 5000)
        images = LabelledImages(
            "mine", None, [str(i) for i in range(50_000)], labels, list("abcdefghij")
        )
        made, notes = fitted(recipe("fast", size=224), images, {"size"})
        assert (made.batch_size, made.micro_batch) == (1000, 25)
        assert notes == ["micro_batch is 25, not 125: for pictures of 224 pixels."]


def test_the_run_is_not_needed_for_small_sets(five, tmp_path: Path):
    load_pixels(five, told(), run=tmp_path / "never")
    assert not (tmp_path / "never").exists()
