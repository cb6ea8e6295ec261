"""``vizinho list``: what a gallery holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vizinho.cli.console import AsJson, GalleryOption, edge, err, print_json, print_table


@edge
def command(
    gallery: GalleryOption = None,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Only pictures with this label.")
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="Skip that many.")] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show that many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List a gallery's pictures, ordered by key."""
    from vizinho.gallery import Gallery
    from vizinho.settings import find_gallery

    with Gallery.open(find_gallery(gallery)) as opened:
        rows = opened.items(offset=offset, limit=limit, label=label)
        count = opened.count
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(["label", "key"], [[row.label or "", row.key] for row in rows])
    if len(rows) == limit and offset + len(rows) < count:
        more = f"--offset {offset + limit} goes on; the gallery holds {count:,}."
        err().print(more, style="dim", highlight=False)
