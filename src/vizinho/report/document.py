"""A small document that can be written as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; background: #fff; }
"""


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


Block = Heading | Paragraph | Table | Picture


def to_markdown(blocks: Sequence[Block]) -> str:
    """Markdown (GitHub's tables); pictures are linked by file name."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """One HTML page that needs no other file: pictures are inside. Raises ``OSError``."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
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
        case Picture(file, alt):
            data = base64.b64encode(file.read_bytes()).decode("ascii")
            return f'<p><img src="data:image/png;base64,{data}" alt="{escape(alt)}"></p>'
        case Table(columns, rows, texts):
            head = _line("th", columns, texts)
            body = "\n".join(_line("td", row, texts) for row in rows)
            return (
                f'<div class="wide"><table>\n<thead>{head}</thead>\n<tbody>\n{body}\n'
                "</tbody></table></div>"
            )


def _line(tag: str, cells: Sequence[str], texts: bool) -> str:
    side = "" if texts else ' class="right"'
    rest = "".join(f"<{tag}{side}>{escape(cell)}</{tag}>" for cell in cells[1:])
    return f"<tr><{tag}>{escape(cells[0])}</{tag}>{rest}</tr>"
