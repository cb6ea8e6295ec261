"""What is kept aside: shares by class, near-duplicates together, the same for the same seed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toy_pictures import scene
from vizinho.datasets import load_dataset
from vizinho.datasets.duplicates import near_duplicates
from vizinho.datasets.splits import stratified, unseen_classes
from vizinho.errors import DatasetError
from vizinho.preprocess import PreprocessSpec


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    """Sixty pictures that have nothing to do with each other."""
    return np.stack([np.asarray(scene(32, 32, seed)) for seed in range(60)])


def members(groups: np.ndarray) -> list[list[int]]:
    """The groups of two and more."""
    found = [np.flatnonzero(groups == name).tolist() for name in np.unique(groups)]
    return [each for each in found if len(each) > 1]


def test_copies_are_found_however_they_were_made(scenes):
    first = Image.fromarray(scenes[3])
    copies = [
        scenes[3][:, ::-1],
        scenes[3].clip(0, 243) + 12,
        np.asarray(first.resize((20, 20)).resize((32, 32))),
        np.asarray(first.quantize(32).convert("RGB")),
    ]
    pixels = np.concatenate([scenes, np.stack(copies).astype(np.uint8)])
    assert members(near_duplicates(pixels)) == [[3, 60, 61, 62, 63]]


def test_pictures_that_only_look_smooth_are_no_copies():
    y, x = np.mgrid[:32, :32]
    sky = np.stack([200 + 0 * x, 60 + 3 * x, 20 + 0 * y], axis=-1)
    sea = np.stack([20 + 0 * x, 60 + 3 * x, 200 + 0 * y], axis=-1)
    red, blue = np.full((32, 32, 3), (200, 0, 0)), np.full((32, 32, 3), (0, 0, 200))
    pixels = np.stack([sky, sea, red, blue, red]).astype(np.uint8)
    assert members(near_duplicates(pixels)) == [[2, 4]]


def test_memory_does_not_grow_with_the_square():
    # All in one bucket of the hash: the worst case, 6,000 squared are 36 million pairs.
    same = np.repeat(np.asarray(scene(16, 16, 1))[None], 6_000, axis=0)
    tracemalloc.start()
    groups = near_duplicates(same)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (groups == 0).all()
    assert peak < 20e6


@pytest.mark.parametrize(
    ("count", "classes", "aside"), [(5000, 10, 400), (300, 37, 90), (60, 3, 9)]
)
def test_without_groups_the_split_is_what_it_always_was(count, classes, aside):
    labels = np.random.default_rng(1).integers(0, classes, count)
    generator = np.random.default_rng(7)
    expected = np.zeros(count, dtype=bool)
    for label in np.unique(labels):
        there = np.flatnonzero(labels == label)
        share = min(round(aside * len(there) / count), len(there) // 2)
        expected[generator.permutation(there)[:share]] = True
    assert np.array_equal(stratified(labels, aside, 7), expected)
    assert np.array_equal(stratified(labels, aside, 7, np.arange(count)), expected)


def test_groups_are_never_parted_and_shares_are_never_exceeded():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 400)
    groups = np.arange(400)
    for start in range(0, 200, 4):
        groups[start : start + 4] = start
    aside = stratified(labels, 80, 3, groups)
    for start in range(0, 200, 4):
        assert len(set(aside[start : start + 4])) == 1
    for label in range(4):
        share = round(80 * (labels == label).sum() / 400)
        assert share - 4 <= aside[labels == label].sum() <= share
    assert aside[:200].any()


def test_a_group_that_is_most_of_its_class_stays():
    labels, groups = np.repeat([0, 1], 10), np.arange(20)
    groups[:9] = 0
    aside = stratified(labels, 10, 0, groups)
    assert not aside[:9].any()
    assert aside[10:].sum() == 5


def test_unseen_classes_are_a_share_or_a_number():
    assert len(unseen_classes(100, 0.2, 0)) == len(unseen_classes(100, 20, 0)) == 20
    assert np.array_equal(unseen_classes(100, 0.2, 5), unseen_classes(100, 20, 5))
    assert not np.array_equal(unseen_classes(100, 20, 5), unseen_classes(100, 20, 6))
    assert len(unseen_classes(10, 0.01, 0)) == 1
    assert len(unseen_classes(10, 0, 0)) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ant", "bee", "cat"):
        (tmp_path / name).mkdir()
        for i in range(3):
            scene(seed=i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "bee" / "1.png").write_bytes(b"broken")
    return tmp_path


def test_some_classes_of_a_set(folder):
    images = load_dataset(str(folder))
    some = images.only(["cat", "ant"], "two of them")
    assert (some.name, some.classes, some.labels.tolist()) == (
        "two of them",
        ["ant", "cat"],
        [0, 0, 0, 1, 1, 1],
    )
    assert some.names[3] == "cat/0.png"
    assert some.read(3) == (folder / "cat" / "0.png").read_bytes()
    with pytest.raises(DatasetError, match="no picture of: dog"):
        images.only(["cat", "dog"])


def test_what_is_broken_is_told_by_a_renumbered_set_s_first_name_too(folder):
    images = load_dataset(str(folder))
    renumbered = images.with_classes(["cat", "bee", "ant"])
    renumbered.pixels(PreprocessSpec(size=8))
    assert [each.name for each in images.skipped] == ["bee/1.png"]


def test_threads_keep_the_order_and_leave_out_what_is_broken(folder):
    images = load_dataset(str(folder))
    one, kept = images.pixels(PreprocessSpec(size=8), threads=1)
    many, also = load_dataset(str(folder)).pixels(PreprocessSpec(size=8), threads=4)
    assert kept.tolist() == also.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert np.array_equal(one, many)
