"""``vizinho add``: single pictures into a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.console import AsJson, GalleryOption, edge, parse_pairs, progress
from vizinho.cli.reports import print_add_report


@edge
def command(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Files; they are copied in.")
    ],
    gallery: GalleryOption = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="Label of them all.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="NAME=VALUE", help="Kept beside each, as search filters."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Key of a single picture. Default: its file name, made unique."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add pictures to a gallery. The same picture twice is one picture."""
    from vizinho.gallery import Gallery, NewImage
    from vizinho.settings import find_gallery

    if key is not None and len(pictures) != 1:
        raise typer.BadParameter("--key is for one picture.", param_hint="--key")
    extra = parse_pairs(metadata or [], "--meta")
    items = [
        # Without a key the gallery finds one: two pictures that are both called cat.jpg stay two.
        NewImage(source=picture, key=key, label=label, metadata=dict(extra), store=True)
        for picture in pictures
    ]
    path = find_gallery(gallery)
    with Gallery.open(path) as opened, progress("Adding", quiet=as_json) as report:
        done = opened.add(items, progress=report)
        count = opened.count
    print_add_report(done, path, count, as_json=as_json)
    if done.skipped and len(done.skipped) == len(items):
        raise typer.Exit(1)
