"""Letters in pictures: matplotlib brings DejaVu Sans, which has most alphabets but no Chinese."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def font_file() -> Path:
    """DejaVu Sans."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def drawable(name: str, number: int) -> str:
    """``name``, or "class ``number``" where the font lacks one of its letters."""
    letters = _letters()
    return name if all(ord(letter) in letters for letter in name) else f"class {number}"


@cache
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())
