"""Hashes that stand what is done to copies, and pixels that decide."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toy_scenes import CHANGES, cropped, scene
from vizinho.perceptual import (
    BITS,
    FORM,
    LENGTH,
    Groups,
    agreement,
    candidates,
    forms,
    frequencies,
    in_buckets,
    likeness,
    same_pixels,
    sharpness,
    turned,
)

TURNS = [None, *Image.Transpose]


def hashes(*images: Image.Image) -> np.ndarray:
    return forms(np.array([frequencies(image) for image in images]), np.arange(len(images)))


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_picture_has_a_form_in_common(turn: Image.Transpose | None) -> None:
    for seed in range(5):
        image = scene(seed, (96, 64))
        other = image if turn is None else image.transpose(turn)
        found = hashes(image, other)
        codes = [set(found["code"][found["owner"] == owner].tolist()) for owner in (0, 1)]
        assert min((a ^ b).bit_count() for a in codes[0] for b in codes[1]) <= 2


def test_turning_frequencies_is_turning_the_picture() -> None:
    image = scene(3, (64, 64))
    kept = frequencies(image)[None].astype(np.float32)
    ways = {
        1: Image.Transpose.FLIP_LEFT_RIGHT,
        2: Image.Transpose.FLIP_TOP_BOTTOM,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.TRANSPOSE,
    }
    for number, way in ways.items():
        told = turned(kept, np.array([number], np.uint8))
        expected = frequencies(image.transpose(way)).astype(np.float32)
        # Rounded to float16 and to whole greys, no more.
        assert np.abs(told[0] - expected).max() < 2
        assert agreement(told, expected[None])[0] > 0.9999


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_proposed_and_known(change: str) -> None:
    images = [scene(seed, (160, 120)) for seed in range(12)]
    copies = [CHANGES[change](image) for image in images]
    every = hashes(*images, *copies)
    met = {
        tuple(sorted((int(every["owner"][a]), int(every["owner"][b]))))
        for left, right in candidates(every, 20)
        for a, b in zip(left, right, strict=True)
    }
    found = sum((i, i + 12) in met for i in range(12))
    assert found >= (9 if "cropped" in change else 12)
    assert all(likeness(image, copies[i]).same for i, image in enumerate(images))


def test_different_pictures_are_told_apart() -> None:
    images = [scene(seed, (120, 90)) for seed in range(8)]
    for one, other in itertools.combinations(images, 2):
        assert not likeness(one, other).same


def test_words_for_what_was_done() -> None:
    image = scene(1)
    assert likeness(image, image.transpose(Image.Transpose.ROTATE_90)).turn == "turned right"
    assert likeness(image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).turn == "mirrored"
    assert likeness(image, cropped(image, 0.08)).cropped == "second"
    assert likeness(cropped(image, 0.08), image).cropped == "first"
    assert likeness(image, image.resize((100, 75))).turn == ""


def test_flat_pictures_are_one_by_their_colour() -> None:
    red, blue = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")
    assert likeness(red, red.resize((10, 10))).same
    assert not likeness(red, blue).same
    assert len(hashes(red)) == 1


def test_pages_with_another_word_each_are_not_copies() -> None:
    def page(x: int, y: int) -> Image.Image:
        image = Image.new("RGB", (1000, 1400), "white")
        image.paste("black", (x, y, x + 30, y + 10))
        return image

    assert not likeness(page(100, 200), page(700, 1200)).same
    assert not likeness(page(100, 200), Image.new("RGB", (1000, 1400), "white")).same
    assert likeness(page(100, 200), page(100, 200).resize((500, 700))).same


def test_all_near_pairs_within_a_band_are_met() -> None:
    """Hashes that differ outside of one band meet, in however many parts they are gone through."""
    chance = np.random.default_rng(0)
    every = np.zeros(300, FORM)
    every["code"] = chance.integers(0, 2**BITS, 300, dtype=np.uint64)
    every["owner"] = np.arange(300)
    for i in range(0, 300, 3):
        every["code"][i + 1] = every["code"][i] ^ np.uint64(0b111 << 20)
        every["code"][i + 2] = every["code"][i]
    met = {
        tuple(sorted((int(a), int(b))))
        for left, right in candidates(every, 3)
        for a, b in zip(left, right, strict=True)
    }
    groups = Groups()
    for a, b in met:
        groups.link(a, b)
    assert list(groups.members().values()) == [[i, i + 1, i + 2] for i in range(0, 300, 3)]
    assert list(candidates(every[:0], 3)) == []


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    every = hashes(*(scene(seed % 9, (48, 32)) for seed in range(27)))

    def linked() -> list[list[int]]:
        groups = Groups()
        for left, right in candidates(every, 4):
            for a, b in zip(every["owner"][left], every["owner"][right], strict=True):
                groups.link(int(a), int(b))
        return list(groups.members().values())

    whole = linked()
    assert len(whole) >= 9 or sum(map(len, whole)) == 27
    monkeypatch.setattr("vizinho.perceptual.hashes._PART", 16)
    assert linked() == whole


def test_in_buckets_gives_every_pair_once() -> None:
    keys = np.array([1, 1, 1, 2, 3, 3])
    pairs = {
        (int(a), int(b))
        for left, right in in_buckets(keys)
        for a, b in zip(left, right, strict=True)
    }
    assert pairs == {(0, 1), (1, 2), (0, 2), (4, 5)}


def test_the_sharper_and_the_very_same() -> None:
    image = scene(2)
    blurred = image.resize((120, 90)).resize(image.size)
    assert sharpness(image) > sharpness(blurred)
    assert same_pixels(image, image.copy())
    assert not same_pixels(image, blurred)
    assert frequencies(image).shape == (LENGTH,)


def test_memory_does_not_grow_with_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped from disk, four times as many hashes are gone through in the same memory."""
    monkeypatch.setattr("vizinho.perceptual.hashes._PART", 1 << 16)
    chance = np.random.default_rng(0)

    def peak(count: int) -> int:
        every = np.zeros(count, FORM)
        every["code"] = chance.integers(0, 2**BITS, count, dtype=np.uint64)
        every["weak"] = chance.integers(0, 2**16, count)
        every["owner"] = np.arange(count)
        file = tmp_path / str(count)
        every.tofile(file)
        mapped = np.memmap(file, FORM, "r")
        tracemalloc.start()
        for _ in candidates(mapped, 3):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(50_000), peak(200_000)
    assert few > 1_000_000
    assert many < 1.5 * few
