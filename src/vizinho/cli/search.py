"""``vizinho search``: the nearest pictures of a gallery to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    parse_pairs,
    print_json,
    print_table,
)
from vizinho.errors import ImageError, KeyNotFound

if TYPE_CHECKING:
    from vizinho.gallery import Gallery, Match


@edge
def command(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to search by.")],
    gallery: GalleryOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="NAME=VALUE", help="Only pictures with this label, ..."),
    ] = None,
    as_json: AsJson = False,
    contact_sheet: Annotated[
        Path | None,
        typer.Option("--contact-sheet", metavar="PNG", help="Write the results as one picture."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open the results in the system's picture viewer.")
    ] = False,
    pictures: Annotated[
        str | None,
        typer.Option(
            metavar="WAY", help="In the terminal: auto (default), kitty, iterm, blocks, none."
        ),
    ] = None,
) -> None:
    """Find the pictures most like one; distance 0.00 is the same picture."""
    from vizinho.gallery import Gallery
    from vizinho.settings import find_gallery

    filter = parse_pairs(where or [], "--where", texts=["label"])
    with Gallery.open(find_gallery(gallery)) as opened:
        matches = opened.search(picture, k=k, filter=filter or None)
        if contact_sheet or show:
            _contact_sheet(opened, picture, matches, contact_sheet, show=show)
        if as_json:
            print_json([{**asdict(match), "known": matches.known} for match in matches])
            return
        empty = not opened.count
        if matches:
            _show_in_terminal(opened, picture, matches, pictures)
    if matches:
        if matches.known is False:
            typer.echo("Nothing in the gallery is alike. The best guesses:")
        _print_matches(matches, faint=matches.known is False)
    else:
        _print_nothing(empty, filter)


def _print_matches(matches: Sequence[Match], *, faint: bool) -> None:
    columns = ["#", "distance", "probability", "label", "key"]
    if all(match.probability is None for match in matches):
        columns.remove("probability")
    if all(match.label is None for match in matches):
        columns.remove("label")
    rows = []
    for rank, match in enumerate(matches, start=1):
        chance = "" if match.probability is None else f"{match.probability:.2f}"
        cells = {
            "#": str(rank),
            "distance": f"{match.distance:.2f}",
            "probability": chance,
            "label": match.label or "",
            "key": match.key,
        }
        rows.append([cells[column] for column in columns])
    print_table(columns, rows, right=("#", "distance", "probability"), faint=faint)


def _print_nothing(empty: bool, filter: dict[str, Any]) -> None:
    told = "No picture of the gallery has " + " and ".join(
        f"{name}={value}" for name, value in filter.items()
    )
    if empty:
        told = "The gallery is empty: fill it with `vizinho index` or `vizinho add`"
    err().print(f"{told}.", markup=False, highlight=False)


def _show_in_terminal(
    gallery: Gallery, picture: Path, matches: Sequence[Match], way: str | None
) -> None:
    from vizinho.cli import pictures
    from vizinho.settings import load, parse_pictures

    wanted = parse_pictures(way, "--pictures") if way else load().pictures
    protocol = pictures.choose(wanted)
    if protocol != "none":
        pictures.show(_tiles(gallery, picture, matches), protocol)


def _contact_sheet(
    gallery: Gallery, picture: Path, matches: Sequence[Match], path: Path | None, *, show: bool
) -> None:
    from vizinho.cli import pictures

    if path is None:
        import tempfile

        path = Path(tempfile.mkdtemp(prefix="vizinho-")) / "results.png"
    pictures.compose(_tiles(gallery, picture, matches)).save(path, format="PNG")
    if show:
        typer.launch(str(path))


def _tiles(
    gallery: Gallery, picture: Path, matches: Sequence[Match]
) -> list[tuple[str, bytes | Path]]:
    tiles: list[tuple[str, bytes | Path]] = [("query", picture)]
    for rank, match in enumerate(matches, start=1):
        caption = f"{rank}  {match.distance:.2f}  {match.label or ''}".rstrip()
        tiles.append((caption, _bytes(gallery, match.key)))
    return tiles


def _bytes(gallery: Gallery, key: str) -> bytes:
    """A picture's bytes; none, which is drawn grey, where its file has gone or was spoilt."""
    try:
        return gallery.image_bytes(key)[0]
    except (KeyNotFound, ImageError):
        return b""
