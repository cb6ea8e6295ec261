"""Bytes or a path to an RGB picture, safely.

One decoder serves training, indexing and queries, so that the same file always gives the same
pixels. It reads JPEG, PNG, WebP, GIF, AVIF and BMP (of an animation, the first frame), and refuses
more than `MAX_PIXELS` from the header alone: a PNG of 0.4 MB can unpack to over a gigabyte, so a
limit on bytes would not protect.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from vizinho.errors import ImageError, ImageTooLarge, NotAnImage, SettingsError, UnreadableImage

MAX_PIXELS = 50_000_000
"""Largest picture (width times height) that is decoded; 50 megapixels are 150 MB as RGB."""

Source = bytes | Path | str | Image.Image
"""What can be loaded: encoded bytes, a path (``str`` is a path too) or a Pillow image."""

_Opener = Callable[[IO[bytes], str], Image.Image]

# The plugins are called directly rather than through Image.open: the format is known from the
# first bytes, so nothing outside this list is ever tried, and Image.open's own size check (a global
# warning at 89 megapixels) does not speak before ours.
_OPENERS: dict[str, _Opener] = {
    "image/jpeg": JpegImagePlugin.jpeg_factory,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/avif": AvifImagePlugin.AvifImageFile,
    "image/bmp": BmpImagePlugin.BmpImageFile,
}
_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".avif", ".bmp"})
_STRANGERS = (
    ((b"ii*\x00", b"mm\x00*"), "TIFF, save it as PNG"),
    ((b"<svg", b"<?xml"), "SVG or XML, save it as PNG"),
    ((b"<!doctype", b"<html"), "a web page"),
    ((b"%pdf",), "PDF"),
)
_READABLE = "Vizinho reads JPEG, PNG, WebP, GIF, AVIF and BMP."
_UPLOADED = "The uploaded picture"
_HEAD = 64
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_PLACES = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def load_image(
    source: Source, *, target: int | None = None, name: str | None = None
) -> Image.Image:
    """Decode ``source`` into a new picture of mode ``RGB``.

    EXIF orientation is applied, 16-bit grey keeps its high byte (shifted, not clipped), and
    transparency is laid onto white. ``target`` is the side in pixels the caller will shrink to:
    a JPEG is then decoded at a fraction of its size, never below twice ``target``. ``name`` is how
    errors call the picture; by default its path, or "The uploaded picture" for bytes.

    Raises `NotAnImage`, `UnreadableImage` or `ImageTooLarge`.
    """
    if isinstance(source, Image.Image):
        return _finish(source, name or "The picture", None)
    if isinstance(source, bytes):
        return _decode(BytesIO(source), source[:_HEAD], name or _UPLOADED, target)
    path = Path(source)
    name = name or str(path)
    with _open_file(path, name) as file:
        head = file.read(_HEAD)
        file.seek(0)
        return _decode(file, head, name, target)


def read_bytes(source: Source) -> bytes:
    """The encoded bytes of ``source`` (a Pillow image is encoded as PNG); not decoded or checked.

    Raises `UnreadableImage` when there is no such file or it can't be read.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, Image.Image):
        buffer = BytesIO()
        load_image(source).save(buffer, "PNG")
        return buffer.getvalue()
    path = Path(source)
    with _open_file(path, str(path)) as file:
        return file.read()


def content_hash(data: bytes) -> str:
    """SHA-256 of the encoded bytes, as 64 hexadecimal digits: the same file, the same picture."""
    return hashlib.sha256(data).hexdigest()


def media_type(data: bytes) -> str:
    """Media type ("image/png") told from the first bytes; ``data`` may be just a file's head.

    Raises `UnreadableImage` when there are no bytes, `NotAnImage` when the format is none we read.
    """
    return _sniff(data[:_HEAD], _UPLOADED)


def is_image_name(path: Path | str) -> bool:
    """Whether the file's suffix is one of a format we read; the content is not looked at."""
    return Path(path).suffix.lower() in _SUFFIXES


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, as fractions 0..1 of its height and width from the top left.

    Raises `SettingsError` when it is empty or leaves the picture.
    """

    top: float
    left: float
    bottom: float
    right: float

    def __post_init__(self) -> None:
        # NaN compares false with everything, so it fails here too.
        if not (0 <= self.top < self.bottom <= 1 and 0 <= self.left < self.right <= 1):
            raise SettingsError(
                f"The crop top={self.top} left={self.left} bottom={self.bottom} "
                f"right={self.right} is not inside the picture.",
                "Each side is a fraction 0..1, with top < bottom and left < right.",
            )


def crop_image(image: Image.Image, crop: Crop) -> Image.Image:
    """The part of ``image`` inside ``crop``, rounded outwards to whole pixels: never empty."""
    box = (
        math.floor(crop.left * image.width),
        math.floor(crop.top * image.height),
        math.ceil(crop.right * image.width),
        math.ceil(crop.bottom * image.height),
    )
    return image.crop(box)


def thumbnail(image: Image.Image, size: int) -> bytes:
    """JPEG bytes of ``image`` shrunk (never enlarged) to fit into ``size`` by ``size`` pixels."""
    small = load_image(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    # Without chroma subsampling: on pictures this small it shows as bleeding colour.
    small.save(buffer, "JPEG", quality=85, subsampling=0)
    return buffer.getvalue()


def _decode(file: IO[bytes], head: bytes, name: str, target: int | None) -> Image.Image:
    opener = _OPENERS[_sniff(head, name)]
    with _decoding(name):
        image = opener(file, "")
    return _finish(image, name, target)


def _finish(image: Image.Image, name: str, target: int | None) -> Image.Image:
    """From an opened (not yet decoded) picture to upright RGB in memory."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        detail = f"{image.width} x {image.height} pixels are {pixels / 1e6:.0f} megapixels"
        raise _too_large(name, detail)
    with _decoding(name):
        if target is not None:
            image.draft(None, (2 * target, 2 * target))
        image.load()
        upright, turn = _to_rgb(image), _TURNS.get(_orientation(image))
        upright.info.clear()
        return upright if turn is None else upright.transpose(turn)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except MemoryError as error:
        raise _too_large(name, "it does not fit in memory") from error
    except Exception as error:  # decoders raise almost anything on hostile bytes
        raise UnreadableImage(
            f"{name} is broken or cut short: {_reason(error)}.", "Fetch or save it again."
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255 and turns nearly every pixel white.
        grey = np.asarray(image)
        high = (np.clip(grey, 0, 65535) >> 8).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            high[grey == clear] = 255
        return Image.fromarray(high).convert("RGB")
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layer, mask=layer)
        return white
    # On an RGB picture this is a copy, which lets go of the file and its encoded bytes.
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; damaged EXIF counts as upright, as viewers do."""
    if not any(place in image.info for place in _EXIF_PLACES):
        return 1
    with suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _sniff(head: bytes, name: str) -> str:
    if not head:
        raise UnreadableImage(f"{name} is empty (0 bytes).", "Fetch or save it again.")
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in _brands(head)):
        return "image/avif"
    # "BM" alone begins many a text; the length of the second header has few legal values.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    raise NotAnImage(f"{name} is not a picture we read: {_guess(head)}.", _READABLE)


def _brands(head: bytes) -> set[bytes]:
    end = min(len(head), int.from_bytes(head[:4], "big"))
    return {head[i : i + 4] for i in range(16, end, 4)}


def _guess(head: bytes) -> str:
    """What the bytes seem to be, for the message."""
    start = head.lstrip().lower()
    if head[4:8] == b"ftyp" and (_brands(head) | {head[8:12]}) & {b"heic", b"heix", b"mif1"}:
        return "it looks like HEIC, save it as JPEG"
    for beginnings, what in _STRANGERS:
        if start.startswith(beginnings):
            return f"it looks like {what}"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return "it holds text"
    return "its first bytes belong to no format we know"


@contextmanager
def _open_file(path: Path, name: str) -> Iterator[IO[bytes]]:
    try:
        # Only plain files: a pipe or a device would be read for ever.
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not there, or is not a plain file"
            raise UnreadableImage(f"{name} {what}.", "Give the path of one picture file.")
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{name} can't be opened: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _too_large(name: str, detail: str) -> ImageError:
    return ImageTooLarge(
        f"{name} is too large: {detail}, and at most {MAX_PIXELS // 1_000_000} "
        "megapixels are decoded.",
        "Shrink it and try again.",
    )
