"""``vizinho remove``: pictures out of a gallery."""

from __future__ import annotations

from typing import Annotated

import typer

from vizinho.cli.console import AsJson, GalleryOption, edge, out, print_json
from vizinho.errors import KeyNotFound


@edge
def command(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As `vizinho list` shows.")],
    gallery: GalleryOption = None,
    as_json: AsJson = False,
) -> None:
    """Remove pictures from a gallery by key. The files they came from stay."""
    from vizinho.gallery import Gallery
    from vizinho.settings import find_gallery

    path = find_gallery(gallery)
    with Gallery.open(path) as opened:
        removed = opened.remove(keys)
        count = opened.count
    if removed == 0:
        raise KeyNotFound(
            f"None of these keys is in {path}: {', '.join(keys)}.",
            "`vizinho list` shows the keys.",
        )
    if as_json:
        print_json({"gallery": str(path), "removed": removed, "count": count})
        return
    out().print(f"{path}: {removed:,} removed. {count:,} pictures.", markup=False, highlight=False)
