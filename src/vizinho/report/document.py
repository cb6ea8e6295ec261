"""A small document that can be written as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    """``level`` 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """``rows`` of cells; columns after the first are figures, aligned right, unless ``texts``."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG beside the document; ``alt`` says what is in it."""

    file: Path
    alt: str


@dataclass(frozen=True)
class Either:
    """What the page shows in a way of its own: a fragment of HTML, and blocks for Markdown."""

    html: str
    markdown: Sequence[Heading | Paragraph | Table | Picture] = ()


Block = Heading | Paragraph | Table | Picture | Either


def to_markdown(blocks: Sequence[Block]) -> str:
    """Markdown (GitHub's tables); pictures are linked by file name."""
    return "\n\n".join(filter(None, map(_markdown, blocks))) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """One HTML page that needs no other file: pictures are inside. Raises ``OSError``."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    body = "\n".join(_html(block) for block in blocks)
    style = resources.files("vizinho.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Either(_, instead):
            return "\n\n".join(map(_markdown, instead))
        case Picture(file, alt):
            return f"![{alt}]({file.name})"
        case Table(columns, rows, texts):
            sides = ["---"] + ["---" if texts else "---:"] * (len(columns) - 1)
            lines = [columns, sides, *rows]
            return "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                for line in lines
            )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Either(html, _):
            return html
        case Picture(file, alt):
            data = base64.b64encode(file.read_bytes()).decode("ascii")
            return (
                f'<p><img class="chart" src="data:image/png;base64,{data}" alt="{escape(alt)}"></p>'
            )
        case Table(columns, rows, texts):
            kind = ' class="texts"' if texts else ""
            head = _line("th", columns, texts)
            body = "\n".join(_line("td", row, texts) for row in rows)
            return (
                f'<div class="wide" tabindex="0"><table{kind}>\n<thead>{head}</thead>\n'
                f"<tbody>\n{body}\n</tbody></table></div>"
            )


def _line(tag: str, cells: Sequence[str], texts: bool) -> str:
    side = "" if texts else ' class="right"'
    rest = "".join(f"<{tag}{side}>{escape(cell)}</{tag}>" for cell in cells[1:])
    return f"<tr><{tag}>{escape(cells[0])}</{tag}>{rest}</tr>"
