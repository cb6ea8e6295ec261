"""What the page weighs, all of its views in both languages, before anything squeezes it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "src" / "vizinho" / "page"
LIMIT = 100_000
"""Bytes, pictures not counted (the icon is: it is drawn in text)."""
# The API's documentation is another page, with Swagger UI in it.
ANOTHER_PAGE = {"docs.html", "docs.js"}
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")


def loaded() -> dict[str, int]:
    """Every file that a visit to every view in every language could load, and its bytes."""
    files = {path.name: path.stat().st_size for path in PAGE.iterdir() if path.is_file()}
    return {
        name: size
        for name, size in files.items()
        if name not in ANOTHER_PAGE and not name.endswith(_PICTURES)
    }


def test_the_whole_page_weighs_less_than_100_kb() -> None:
    sizes = loaded()
    squeezed = {name: len(gzip.compress((PAGE / name).read_bytes())) for name in sizes}
    print("\n   bytes  in gzip")
    for name, size in sorted(sizes.items(), key=lambda each: -each[1]):
        print(f"{size:>8,} {squeezed[name]:>8,}  {name}")
    total = sum(sizes.values())
    print(f"{total:>8,} {sum(squeezed.values()):>8,}  in all, of {LIMIT:,}")
    assert total < LIMIT


def test_every_file_of_the_page_is_used_by_another() -> None:
    """A file that nothing names is weight for nobody, or a name that is misspelt."""
    sizes = loaded()
    texts = {name: (PAGE / name).read_text() for name in sizes}
    idle = {
        name
        for name in sizes
        if name != "index.html"
        and not any(name in text for other, text in texts.items() if other != name)
    }
    assert idle == set()


def test_every_file_that_is_named_is_there() -> None:
    pattern = re.compile(r"""["'](?:\./|static/)?([\w.-]+\.(?:js|css|svg))["']""")
    named = {
        (name, found)
        for name in loaded()
        if name.endswith((".js", ".html"))
        for found in pattern.findall((PAGE / name).read_text())
    }
    assert len(named) > 10
    assert {(name, found) for name, found in named if not (PAGE / found).exists()} == set()
