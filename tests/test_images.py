"""The decoder: formats, turns, depths, transparency, drafts; and the small tools beside it."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toy_pictures import (
    BLUE,
    GREEN,
    LOSSLESS,
    RED,
    WHITE,
    array,
    encode,
    png_chunk,
    quarters,
    scene,
)
from vizinho.errors import NotAnImage, SettingsError
from vizinho.images import (
    Crop,
    content_hash,
    crop_image,
    is_image_name,
    load_image,
    media_type,
    read_bytes,
    thumbnail,
)
from vizinho.preprocess import PreprocessSpec, to_pixels


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP"])
def test_every_accepted_format_is_read(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    picture = scene()
    data = encode(picture, form, **options)
    got = array(data).astype(int)
    assert got.shape == (48, 64, 3)
    error = np.abs(got - np.asarray(picture)).mean()
    assert error == 0 if form in LOSSLESS else error < 8
    assert media_type(data) == f"image/{form.lower()}"


@pytest.mark.parametrize("form", ["TIFF", "PPM", "ICO", "TGA", "PCX", "PDF"])
def test_other_formats_of_pillow_are_refused(form: str) -> None:
    with pytest.raises(NotAnImage, match="uploaded picture is not a picture we read"):
        load_image(encode(scene(), form))


STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    upright = np.asarray(quarters())
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = array(encode(stored, form, exif=exif, quality=95)).astype(int)
    assert got.shape == upright.shape
    assert np.abs(got - upright).mean() < 6


def test_exif_orientation_survives_a_draft() -> None:
    stored = scene(2000, 1000).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = load_image(encode(stored, "JPEG", exif=exif), target=32)
    assert image.width == 2 * image.height
    assert image.height < 1000


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("damage", [b"", b"\x00", b"II*\x00\xff\xff\xff\xff", b"rubbish " * 9])
def test_damaged_exif_counts_as_upright(damage: bytes) -> None:
    data = encode(quarters(), "JPEG", exif=b"Exif\x00\x00" + damage, quality=95)
    assert np.abs(array(data).astype(int) - np.asarray(quarters())).mean() < 6


def test_cmyk_jpeg() -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    got = array(encode(cmyk, "JPEG", quality=95))
    assert np.abs(got.astype(int) - RED).max() < 12


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_16_bit_grey_is_shifted_not_clipped(mode: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = Image.fromarray(ramp) if mode == "I;16" else Image.fromarray(ramp.astype(np.int32))
    assert image.mode == mode
    expected = np.repeat((ramp >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(np.asarray(load_image(image)), expected)
    if mode == "I;16":
        np.testing.assert_array_equal(array(encode(image, "PNG")), expected)


def test_16_bit_grey_with_a_transparent_shade() -> None:
    grey = np.full((4, 4), 40_000, dtype=np.uint16)
    grey[0] = 1_000
    plain = encode(Image.fromarray(grey), "PNG")
    header = plain.index(b"IDAT") - 4
    data = plain[:header] + png_chunk(b"tRNS", struct.pack(">H", 1_000)) + plain[header:]
    got = array(data)
    assert (got[0] == 255).all()
    assert (got[1:] == 40_000 >> 8).all()


def test_palette_with_transparency_lies_on_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    got = array(encode(image, "PNG", transparency=bytes([0, 128])))
    np.testing.assert_array_equal(got[3, 3], WHITE)
    np.testing.assert_array_equal(got[0, 0], [127, 127, 255])


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), WHITE),
        ("LA", (10, 255), (10, 10, 10)),
        ("L", 77, (77, 77, 77)),
        ("1", 255, WHITE),
        ("RGB", (1, 2, 3), (1, 2, 3)),
    ],
)
def test_alpha_lies_on_white(mode: str, colour: Any, expected: tuple[int, ...]) -> None:
    image = Image.new(mode, (5, 3), colour)
    for got in (array(encode(image, "PNG")), np.asarray(load_image(image))):
        assert got.shape == (3, 5, 3)
        assert (got == expected).all()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
    assert np.abs(array(data).astype(int) - RED).max() < 12


def test_errors_use_the_name_given() -> None:
    with pytest.raises(NotAnImage, match=r"^row 7 is not"):
        load_image(b"text", name="row 7")


def test_draft_is_far_smaller_and_looks_the_same() -> None:
    picture = scene(1600, 1200)
    data = encode(picture, "JPEG", quality=90)
    drafted = load_image(data, target=32)
    assert drafted.width < picture.width
    assert min(drafted.size) >= 64
    spec = PreprocessSpec(size=32)
    close = to_pixels(drafted, spec).astype(int) - to_pixels(load_image(data), spec).astype(int)
    assert np.abs(close).mean() < 1
    assert np.abs(close).max() <= 6


def test_a_pillow_image_is_neither_changed_nor_shrunk() -> None:
    lazy = Image.open(BytesIO(encode(scene(640, 480), "JPEG")))
    assert load_image(lazy, target=32).size == (640, 480)
    assert lazy.size == (640, 480)
    rgb = scene()
    copy = load_image(rgb)
    copy.putpixel((0, 0), (1, 2, 3))
    assert rgb.getpixel((0, 0)) != (1, 2, 3)


def test_bytes_path_and_string_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = encode(scene(), "PNG")
    path.write_bytes(data)
    for source in (data, path, str(path)):
        assert read_bytes(source) == data
        np.testing.assert_array_equal(np.asarray(load_image(source)), np.asarray(scene()))
    assert content_hash(b"abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_read_bytes_of_a_pillow_image_is_lossless() -> None:
    np.testing.assert_array_equal(array(read_bytes(scene())), np.asarray(scene()))


def test_image_names() -> None:
    assert all(map(is_image_name, ["a.jpg", "b.JPEG", Path("x/c.WebP"), "d.avif", "e.jfif"]))
    assert not any(map(is_image_name, ["a.txt", "jpg", ".jpg", "a.tiff", "a.jpg.part"]))


def test_media_type_of_a_head_is_enough() -> None:
    assert media_type(encode(scene(), "PNG")[:16]) == "image/png"
    with pytest.raises(NotAnImage):
        media_type(b"hello")


def test_crop_takes_the_named_part() -> None:
    right_bottom = crop_image(quarters(), Crop(top=0.5, left=0.5, bottom=1, right=1))
    assert right_bottom.size == (16, 12)
    assert np.asarray(right_bottom).min() == 255
    sliver = crop_image(quarters(), Crop(top=0.999, left=0, bottom=1, right=0.001))
    assert sliver.size == (1, 1)


@pytest.mark.parametrize(
    "sides",
    [(0, 0, 0, 1), (0.6, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 0, 1, float("nan"))],
)
def test_crop_outside_the_picture_is_refused(sides: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="not inside the picture"):
        Crop(*sides)


def test_thumbnail_fits_and_never_grows() -> None:
    small = load_image(thumbnail(scene(640, 480), 96))
    assert small.size == (96, 72)
    assert load_image(thumbnail(scene(20, 10), 96)).size == (20, 10)
    assert media_type(thumbnail(scene(), 8)) == "image/jpeg"
