"""Pictures in a terminal, and the same pictures as one sheet.

Kitty's graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol/) and iTerm2's
inline images (https://iterm2.com/documentation-images.html) get one sheet as a PNG; a terminal
with 24-bit colour gets two pixels to a character, as upper half blocks.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vizinho.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from vizinho.settings import Pictures

    Tile = tuple[str, bytes | Path]

TILE = 112  # pixels of a picture's side on the sheet
CAPTION = 18  # pixels of the caption under it
GAP = 8
PER_ROW = 6
BLOCK_CELLS = 12  # characters of a picture's width when drawn in half blocks
KITTY_CHUNK = 4096  # the protocol's limit for one escape code's payload
UPPER_HALF = "\u2580"
RESET = "\x1b[0m"


def choose(wanted: Pictures) -> Pictures:
    """The way to show pictures on stdout: ``wanted``, or what the terminal can when ``auto``.

    Always ``none`` when stdout is not a terminal, or can't spell a half block.
    """
    from vizinho.settings import terminal_pictures

    if not sys.stdout.isatty():
        return "none"
    way = terminal_pictures() if wanted == "auto" else wanted
    if way == "blocks" and "utf" not in (sys.stdout.encoding or "").lower():
        return "none"
    return way


def show(tiles: Sequence[Tile], way: Pictures) -> None:
    """Draws captioned pictures on stdout, the way :func:`choose` gave."""
    if way == "blocks":
        columns = shutil.get_terminal_size().columns
        sys.stdout.writelines(f"{line}\n" for line in half_blocks(tiles, columns))
        return
    buffer = io.BytesIO()
    compose(tiles).save(buffer, format="PNG")
    escape = kitty_escape if way == "kitty" else iterm_escape
    sys.stdout.write(escape(buffer.getvalue()) + "\n")
    sys.stdout.flush()


def compose(tiles: Sequence[Tile]) -> Image:
    """The pictures in a grid on white, each with its caption; RGB."""
    from PIL import Image, ImageDraw, ImageFont

    rows = -(-len(tiles) // PER_ROW)
    columns = min(len(tiles), PER_ROW)
    cell_width, cell_height = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (columns * cell_width + GAP, rows * cell_height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for index, (caption, source) in enumerate(tiles):
        left = GAP + index % PER_ROW * cell_width
        top = GAP + index // PER_ROW * cell_height
        picture = _fit(source, TILE)
        sheet.paste(picture, (left + (TILE - picture.width) // 2, top + TILE - picture.height))
        while caption and draw.textlength(caption, font=font) > TILE:
            caption = caption[:-1]
        draw.text((left, top + TILE + 2), caption, fill="black", font=font)
    return sheet


def kitty_escape(png: bytes) -> str:
    """A PNG as the escape codes that make kitty draw it (transmit and display, quietly)."""
    payload = base64.b64encode(png).decode("ascii")
    chunks = [payload[i : i + KITTY_CHUNK] for i in range(0, len(payload), KITTY_CHUNK)]
    codes = []
    for number, chunk in enumerate(chunks):
        more = int(number < len(chunks) - 1)
        control = f"a=T,f=100,q=2,m={more}" if number == 0 else f"m={more}"
        codes.append(f"\x1b_G{control};{chunk}\x1b\\")
    return "".join(codes)


def iterm_escape(png: bytes) -> str:
    """A PNG as the escape code that makes iTerm2 draw it in the text."""
    payload = base64.b64encode(png).decode("ascii")
    return f"\x1b]1337;File=inline=1;size={len(png)};preserveAspectRatio=1:{payload}\x07"


def half_blocks(tiles: Sequence[Tile], columns: int) -> Iterator[str]:
    """Lines that draw the pictures in rows, two pixels to a character, captions below.

    No line is wider than ``columns`` characters, as far as one picture fits at all.
    """
    step = BLOCK_CELLS + 1
    per_row = max(1, (columns + 1) // step)
    for start in range(0, len(tiles), per_row):
        row = tiles[start : start + per_row]
        drawn = [_block_lines(source) for _, source in row]
        for lines in zip(*drawn, strict=True):
            yield " ".join(lines)
        yield " ".join(f"{caption[:BLOCK_CELLS]:<{BLOCK_CELLS}}" for caption, _ in row).rstrip()


def _block_lines(source: bytes | Path) -> list[str]:
    from PIL import Image

    square = Image.new("RGB", (BLOCK_CELLS, BLOCK_CELLS), "white")
    picture = _fit(source, BLOCK_CELLS)
    corner = ((BLOCK_CELLS - picture.width) // 2, (BLOCK_CELLS - picture.height) // 2)
    square.paste(picture, corner)
    pixels = square.tobytes()
    lines = []
    for y in range(0, BLOCK_CELLS, 2):
        cells = []
        for x in range(BLOCK_CELLS):
            upper = 3 * (y * BLOCK_CELLS + x)
            lower = upper + 3 * BLOCK_CELLS
            front = ";".join(str(v) for v in pixels[upper : upper + 3])
            back = ";".join(str(v) for v in pixels[lower : lower + 3])
            cells.append(f"\x1b[38;2;{front}m\x1b[48;2;{back}m{UPPER_HALF}")
        lines.append("".join(cells) + RESET)
    return lines


def _fit(source: bytes | Path, side: int) -> Image:
    """A picture scaled to fit a square; grey where the file has gone since it was indexed."""
    from PIL import Image

    from vizinho.images import load_image

    try:
        picture = load_image(source, target=side)
    except (ImageError, OSError):
        return Image.new("RGB", (side, side), "lightgrey")
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Small pictures keep their pixels' edges: a blurred CIFAR image shows less, not more.
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)
