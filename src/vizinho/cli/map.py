"""``vizinho map``: the gallery's map, made before anybody asks the server for it."""

from __future__ import annotations

from typing import Annotated

import typer

from vizinho.cli.console import AsJson, GalleryOption, edge, out, print_json, progress


@edge
def command(
    gallery: GalleryOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make it anew, also when nothing has changed.")
    ] = False,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Make all thumbnails too, which large pictures need."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Lay a gallery's pictures on a plane, what is alike close together, for the page's map.

    `vizinho serve` does it when the map is first asked for; made beforehand, it is there at once.
    """
    import time

    from vizinho.gallery import GalleryView
    from vizinho.gallery.atlas import tile, tiles_of
    from vizinho.gallery.mapping import folder_of, make_map
    from vizinho.settings import find_gallery

    place = find_gallery(gallery)
    start = time.perf_counter()
    with GalleryView.open(place) as opened:
        with progress("Mapping", quiet=as_json) as report:
            shown, made = make_map(opened, again=again, progress=report)
        seconds = time.perf_counter() - start
        folder = folder_of(opened.path, opened.about)
        tiles = tiles_of(shown)
        if thumbnails:
            with progress("Thumbnails", quiet=as_json) as report:
                for number in range(tiles):
                    tile(opened, shown, number, folder)
                    if report is not None:
                        report(number + 1, tiles)
    if as_json:
        print_json(
            {
                "gallery": str(place),
                "folder": str(folder),
                "version": shown.version,
                "made": made,
                "method": shown.method,
                "count": len(shown.keys),
                "total": shown.total,
                "tiles": tiles if thumbnails else 0,
                "seconds": round(seconds, 3),
            }
        )
        return
    part = "" if len(shown.keys) == shown.total else f" of {shown.total:,}"
    said = f"{len(shown.keys):,}{part} pictures by {shown.method}"
    told = f"{said}, in {seconds:.1f} s." if made else f"{said}; nothing has changed since."
    out().print(f"{place}: {told}", markup=False, highlight=False, soft_wrap=True)
    if shown.method.startswith("principal"):
        hint = "With scikit-learn (pip install 'vizinho[report]') the map becomes far better."
        out().print(hint, markup=False, highlight=False, soft_wrap=True)
