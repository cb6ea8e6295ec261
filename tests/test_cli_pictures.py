from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from toys import encode, plain
from vizinho.cli.pictures import (
    BLOCK_CELLS,
    GAP,
    TILE,
    choose,
    compose,
    half_blocks,
    iterm_escape,
    kitty_escape,
)


def test_a_half_block_shows_one_pixel_above_another() -> None:
    picture = plain((255, 0, 0), (BLOCK_CELLS, BLOCK_CELLS))
    picture.paste((0, 0, 255), (0, 1, BLOCK_CELLS, 2))
    first, *_ = half_blocks([("1", encode(picture))], columns=80)
    cell = "\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m\u2580"
    assert first == cell * BLOCK_CELLS + "\x1b[0m"


def test_half_blocks_fit_the_terminal() -> None:
    tiles = [(f"{i}  0.12  a label too long", encode(plain((i, i, i)))) for i in range(11)]
    for columns in (80, 40, 12):
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in half_blocks(tiles, columns)]
        rows = -(-11 // max(1, (columns + 1) // (BLOCK_CELLS + 1)))
        assert len(lines) == rows * (BLOCK_CELLS // 2 + 1)
        assert max(map(len, lines)) <= columns


def test_a_kitty_code_carries_the_png_in_chunks_the_protocol_allows() -> None:
    png = bytes(range(256)) * 40
    chunks = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", kitty_escape(png))
    assert base64.b64decode("".join(payload for _, payload in chunks)) == png
    assert max(len(payload) for _, payload in chunks) <= 4096
    controls = [control for control, _ in chunks]
    assert controls == ["a=T,f=100,q=2,m=1", "m=1", "m=1", "m=0"]


def test_an_iterm_code_says_the_size() -> None:
    code = iterm_escape(b"12345")
    assert code.startswith("\x1b]1337;File=inline=1;size=5;")
    assert code.endswith(":" + base64.b64encode(b"12345").decode() + "\x07")


def test_a_sheet_holds_every_picture_in_its_place() -> None:
    colours = [(40 * i, 0, 0) for i in range(1, 7)] + [(0, 0, 200)]
    sheet = compose([(str(i), encode(plain(c))) for i, c in enumerate(colours)])
    assert sheet.mode == "RGB"
    middle = GAP + TILE // 2
    across = [sheet.getpixel((middle + i * (TILE + GAP), middle)) for i in range(6)]
    assert across == colours[:6]
    assert sheet.getpixel((middle, sheet.height - TILE // 2 - GAP)) == colours[6]


def test_a_file_that_has_gone_leaves_its_place_grey(tmp_path: Path) -> None:
    sheet = compose([("query", tmp_path / "gone.png"), ("1", encode(plain((1, 2, 3))))])
    assert sheet.getpixel((GAP + 5, GAP + 5)) == (211, 211, 211)
    assert sheet.getpixel((GAP + TILE + GAP + 5, GAP + 5)) == (1, 2, 3)


def test_a_tall_picture_keeps_its_shape() -> None:
    sheet = compose([("1", encode(Image.new("RGB", (10, 40), "black")))])
    dark = [x for x in range(sheet.width) if sheet.getpixel((x, GAP + TILE // 2)) == (0, 0, 0)]
    assert len(dark) == TILE // 4


class Terminal(io.TextIOWrapper):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("encoding", "wanted", "environ", "chosen"),
    [
        ("utf-8", "auto", {"TERM": "xterm-kitty"}, "kitty"),
        ("utf-8", "iterm", {"TERM": "xterm-kitty"}, "iterm"),
        ("utf-8", "auto", {"COLORTERM": "truecolor"}, "blocks"),
        ("ascii", "auto", {"COLORTERM": "truecolor"}, "none"),
        ("utf-8", "none", {"TERM": "xterm-kitty"}, "none"),
    ],
)
def test_the_terminal_decides_unless_told(
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
    wanted: str,
    environ: dict[str, str],
    chosen: str,
) -> None:
    for name in ("TERM", "TERM_PROGRAM", "TMUX", "KITTY_WINDOW_ID", "LC_TERMINAL", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal(io.BytesIO(), encoding=encoding))
    assert choose(wanted) == chosen  # type: ignore[arg-type]


def test_nothing_is_drawn_into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert choose("kitty") == "none"
