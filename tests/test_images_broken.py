"""What the decoder must refuse or survive: broken, hostile and odd files, made here for real."""

from __future__ import annotations

import os
import resource
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toy_pictures import RED, array, black_png, encode, png_chunk, scene
from vizinho.errors import ImageError, ImageTooLarge, NotAnImage, UnreadableImage
from vizinho.images import MAX_PIXELS, load_image, read_bytes
from vizinho.preprocess import PreprocessSpec, to_pixels


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_file_cut_short_is_unreadable(form: str, share: float, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(pixels), form)
    path = tmp_path / f"cut.{form.lower()}"
    path.write_bytes(data[: max(20, int(len(data) * share))])
    with pytest.raises(UnreadableImage) as caught:
        load_image(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_bit_flip_in_a_png_is_noticed() -> None:
    data = bytearray(encode(scene(), "PNG"))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(UnreadableImage):
        load_image(bytes(data))


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "nothing.jpg"
    path.touch()
    with pytest.raises(UnreadableImage, match=r"nothing\.jpg is empty"):
        load_image(path)
    with pytest.raises(UnreadableImage, match="The uploaded picture is empty"):
        load_image(b"")


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        (b"dear diary\n", "text"),
        (b"BM is how this text begins, and it goes on", "text"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (bytes(range(64)), "no format we know"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes, guess: str, tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    with pytest.raises(NotAnImage, match=guess) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "JPEG, PNG, WebP, GIF, AVIF and BMP" in str(caught.value)


def test_the_bomb_builder_builds_real_pngs() -> None:
    assert not array(black_png(100)).any()


def test_a_small_png_of_144_megapixels_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(black_png(12_000))
    assert path.stat().st_size < 600_000
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ImageTooLarge, match=r"bomb\.png.*12000 x 12000.*144 megapixels"):
        load_image(path)
    assert time.process_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [8_000, 10_000, 20_000, 50_000])
def test_sizes_beyond_pillows_own_limits_are_our_error(side: int) -> None:
    head = black_png(10)
    claim = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = head[:8] + png_chunk(b"IHDR", claim) + head[33:]
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageTooLarge):
        load_image(data)


def test_a_gif_whose_frame_claims_too_much_is_refused() -> None:
    data = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    frame = data.index(b"\x2c", 13)
    struct.pack_into("<HH", data, frame + 5, 60_000, 60_000)
    with pytest.raises(ImageError):
        load_image(bytes(data))


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_odd_shapes(size: tuple[int, int], form: str) -> None:
    image = load_image(encode(Image.new("RGB", size, RED), form), target=32)
    assert image.size == size
    pixels = to_pixels(image, PreprocessSpec())
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.astype(int) - RED).max() < 12


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_random_damage_gives_a_picture_or_our_error(form: str) -> None:
    rng = np.random.default_rng(7)
    whole = encode(scene(), form)
    outcomes, named = set(), True
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data) if rng.random() < 0.5 else 120)] = rng.integers(256)
        try:
            outcomes.add(load_image(bytes(data), target=32).mode)
        except ImageError as error:
            outcomes.add(type(error).__name__)
            named &= error.message.startswith("The uploaded picture")
    assert "UnreadableImage" in outcomes
    assert named


def test_folder_missing_path_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(UnreadableImage, match=r"gone\.png is not there"):
        load_image(str(tmp_path / "gone.png"))
    with pytest.raises(UnreadableImage, match=r"gone\.png is not there"):
        read_bytes(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="not a plain file"):
        load_image(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage):
        load_image("nul\0byte.png")
