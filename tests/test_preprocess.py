"""The recipe from pixels to a model's input."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vizinho.errors import BundleError, SettingsError
from vizinho.preprocess import PreprocessSpec, normalise, preprocess, to_pixels


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("filter_", ["bilinear", "bicubic", "lanczos"])
def test_a_picture_of_the_right_size_passes_bit_for_bit(fit: str, filter_: str) -> None:
    image = noise(32, 32)
    spec = PreprocessSpec(size=32, fit=fit, filter=filter_)
    np.testing.assert_array_equal(to_pixels(image, spec), np.asarray(image))


def test_crop_takes_the_centre_and_stretch_everything() -> None:
    pixels = np.zeros((40, 120, 3), dtype=np.uint8)
    pixels[:, 40:80] = 200
    image = Image.fromarray(pixels)
    cropped = to_pixels(image, PreprocessSpec(size=8))
    # The filter's support reaches past the edge of the square, as in "resize, then crop".
    assert (cropped[:, 1:-1] == 200).all()
    assert cropped.min() > 150
    stretched = to_pixels(image, PreprocessSpec(size=9, fit="stretch"))
    assert not stretched[:, :2].any()
    assert not stretched[:, -2:].any()
    assert (stretched[:, 4] == 200).all()


def test_shrinking_is_antialiased() -> None:
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    image = Image.fromarray(np.repeat(board.astype(np.uint8)[..., None], 3, axis=2))
    for filter_ in ("bilinear", "bicubic", "lanczos"):
        small = to_pixels(image, PreprocessSpec(filter=filter_)).astype(int)
        assert np.abs(small - 127.5).max() <= 2


def test_other_modes_become_rgb() -> None:
    assert to_pixels(Image.new("L", (32, 32), 9), PreprocessSpec()).tolist()[0][0] == [9, 9, 9]


def test_normalise_matches_the_definition() -> None:
    spec = PreprocessSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pixels = np.random.default_rng(3).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    expected = (pixels / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    got = normalise(pixels, spec)
    assert got.dtype == np.float32
    assert got.shape == (5, 3, 4, 6)
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_normalise_of_the_thesis_spans_minus_one_to_one() -> None:
    ends = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1).repeat(3, axis=3)
    np.testing.assert_allclose(normalise(ends, PreprocessSpec())[:, 0, 0, 0], [-1, 1], atol=1e-6)


def test_preprocess_is_the_two_steps() -> None:
    spec = PreprocessSpec(size=16)
    images = [noise(20, 30), noise(16, 16), noise(99, 17)]
    pixels = np.stack([to_pixels(image, spec) for image in images])
    np.testing.assert_array_equal(preprocess(images, spec), normalise(pixels, spec))
    assert preprocess([], spec).shape == (0, 3, 16, 16)


def test_the_spec_survives_json() -> None:
    spec = PreprocessSpec(size=224, fit="stretch", filter="bicubic", mean=(0, 0.1, 1))
    again = PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 32.0},
        {"size": True},
        {"size": "32"},
        {"fit": "pad"},
        {"filter": "nearest"},
        {"std": (1, 0, 1)},
        {"mean": (0.5, 0.5)},
        {"mean": 0.5},
        {"mean": ("a", "b", "c")},
        {"std": (1, 1, float("inf"))},
    ],
)
def test_senseless_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(change))):
        PreprocessSpec(**change)
    with pytest.raises(BundleError, match=next(iter(change))):
        PreprocessSpec.from_dict({**PreprocessSpec().to_dict(), **change})


def test_from_dict_neither_guesses_nor_ignores() -> None:
    full = PreprocessSpec().to_dict()
    with pytest.raises(BundleError, match="lacks std"):
        PreprocessSpec.from_dict({k: v for k, v in full.items() if k != "std"})
    with pytest.raises(BundleError, match="unknown settings: gamma"):
        PreprocessSpec.from_dict({**full, "gamma": 2})
    with pytest.raises(BundleError, match="not a table"):
        PreprocessSpec.from_dict([1, 2])  # type: ignore[arg-type]
