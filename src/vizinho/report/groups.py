"""Groups of pictures side by side: a sheet for each, and a page that shows them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vizinho.report.fonts import drawable, font_file

TILE = 168
GAP = 12
LINE = 15
COLUMNS = 6
KEPT, SPARE, INK, FAINT = "#15803d", "#b45309", "#111827", "#6b7280"


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: ``image`` loads it, ``lines`` stand below it (the first is its name),
    ``kept`` frames it green."""

    image: Callable[[], Image.Image]
    lines: Sequence[str]
    kept: bool = False


@dataclass(frozen=True)
class GroupSheet:
    """The pictures of one group under a ``title``."""

    title: str
    tiles: Sequence[Tile]


def draw_group(group: GroupSheet) -> Image.Image:
    """The contact sheet of a group, RGB."""
    font = ImageFont.truetype(str(font_file()), 11)
    heading = ImageFont.truetype(str(font_file()), 15)
    columns = min(COLUMNS, max(2, len(group.tiles)))
    rows = -(-len(group.tiles) // columns)
    lines = max(len(tile.lines) for tile in group.tiles)
    step, height = TILE + GAP, TILE + 6 + lines * LINE + GAP
    sheet = Image.new("RGB", (GAP + columns * step, 36 + rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 9), group.title, fill=INK, font=heading)
    for number, tile in enumerate(group.tiles):
        left, top = GAP + number % columns * step, 36 + number // columns * height
        frame = (left, top, left + TILE - 1, top + TILE - 1)
        draw.rectangle(frame, outline=KEPT if tile.kept else SPARE, width=3)
        image = _fitted(tile.image(), TILE - 12)
        sheet.paste(image, (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2))
        for place, text in enumerate(tile.lines):
            colour = KEPT if tile.kept and place == len(tile.lines) - 1 else FAINT
            words = _short(draw, drawable(text, number + 1), font)
            spot = (left, top + TILE + 4 + place * LINE)
            draw.text(spot, words, fill=INK if place == 0 else colour, font=font)
    return sheet


def write_groups(
    folder: Path, title: str, texts: Sequence[str], groups: Iterable[GroupSheet]
) -> Path:
    """Write a sheet ``group-0001.png`` for each group and ``index.html`` with them all.

    ``texts`` are paragraphs above them. Sheets of an earlier run are replaced. Raises ``OSError``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("group-*.png"):
        old.unlink()
    figures = []
    for number, group in enumerate(groups, 1):
        name = f"group-{number:04d}.png"
        draw_group(group).save(folder / name, optimize=True)
        names = ", ".join(escape(tile.lines[0]) for tile in group.tiles)
        figures.append(
            f'<figure><figcaption>{escape(group.title)}</figcaption><img src="{name}" '
            f'alt="{names}" loading="lazy" style="max-width:100%"></figure>'
        )
    page = folder / "index.html"
    style = resources.files("vizinho.report").joinpath("report.css").read_text(encoding="utf-8")
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in texts)
    page.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n<body><main>\n"
        f"<h1>{escape(title)}</h1>\n{paragraphs}"
        + "\n".join(figures)
        + "\n</main></body></html>\n",
        encoding="utf-8",
    )
    return page


def _fitted(image: Image.Image, room: int) -> Image.Image:
    scale = min(room / max(image.size), 8.0)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Small pictures keep their pixels' edges: a blurred thumbnail shows less, not more.
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return image.convert("RGB").resize(size, way)


def _short(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> str:
    """``text``, its beginning cut where it does not fit: the end of a path tells more."""
    if draw.textlength(text, font=font) <= TILE:
        return text
    while text and draw.textlength(f"…{text}", font=font) > TILE:
        text = text[1:]
    return f"…{text}"
