"""Pictures made for tests."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vizinho.images import load_image

Array = npt.NDArray[Any]

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
LOSSLESS = ("PNG", "BMP", "WEBP")


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def array(data: bytes, **options: Any) -> Array:
    image = load_image(data, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def scene(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Smooth colours, as photographs have: what JPEG keeps well."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def quarters() -> Image.Image:
    """Four colours, 24 high and 32 wide, so that every turn shows."""
    pixels = np.zeros((24, 32, 3), dtype=np.uint8)
    pixels[:12, :16], pixels[:12, 16:] = RED, GREEN
    pixels[12:, :16], pixels[12:, 16:] = BLUE, WHITE
    return Image.fromarray(pixels)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def black_png(side: int) -> bytes:
    """A valid RGB PNG of ``side`` squared black pixels, without ever holding them."""
    rows = 10
    compressor = zlib.compressobj(9, wbits=-15)
    block = compressor.compress(bytes(rows * (1 + 3 * side))) + compressor.flush(zlib.Z_FULL_FLUSH)
    total = side * (1 + 3 * side)
    # Adler-32 of zeros: the low half stays 1, the high half counts the bytes.
    adler = ((total % 65521) << 16) | 1
    body = b"\x78\xda" + block * (side // rows) + b"\x03\x00" + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
