"""``vizinho remove``: pictures out of a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.choosing import (
    SHOWN,
    WAIT_SECONDS,
    KeysArgument,
    WaitOption,
    WhereOption,
    named_keys,
    patience,
    print_unknown,
)
from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    out,
    parse_pairs,
    print_json,
    progress,
)
from vizinho.errors import KeyNotFound

if TYPE_CHECKING:
    from vizinho.gallery import Gallery, Row


@edge
def command(
    keys: KeysArgument = None,
    gallery: GalleryOption = None,
    where: WhereOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Remove pictures from a gallery. The files they came from stay."""
    from vizinho.gallery import Gallery
    from vizinho.gallery.select import Selection
    from vizinho.settings import find_gallery

    if not keys and not where:
        raise typer.BadParameter("Name the keys, or say which with --where.", param_hint="KEY")
    conditions = parse_pairs(where or [], "--where", texts=("label",))
    path = find_gallery(gallery)
    with Gallery.open(path) as opened:
        opened.patience = patience(wait)
        meant = Selection(opened, named_keys(keys) if keys else None, conditions)
        going = Going(opened, iter(meant))
        if dry_run:
            first = list(islice(going, SHOWN))
            removed = len(first) + sum(1 for _ in going)
        else:
            with progress("Removing", quiet=as_json) as report:
                removed = opened.remove(going, progress=report)
        count = opened.count
    if removed == 0 and not dry_run:
        named = f": {', '.join(meant.unknown[:SHOWN])}" if meant.unknown else ""
        raise KeyNotFound(
            f"None of these pictures is in {path}{named}.", "`vizinho list` shows the keys."
        )
    if as_json:
        told = {"removed": removed, "count": count, "unknown": meant.unknown, "dry_run": dry_run}
        print_json({"gallery": str(path), **told})
        return
    console = out()
    if dry_run:
        for key in first:
            console.print(key, markup=False, highlight=False)
        if removed > len(first):
            err().print(f"and {removed - len(first):,} more.", highlight=False)
    done = "would be removed" if dry_run else "removed"
    console.print(f"{path}: {removed:,} {done}. {count:,} pictures.", markup=False, highlight=False)
    print_unknown(meant.unknown)
    if going.returning and not dry_run:
        again = f"Files that are still in {going.root} come back with the next `vizinho index`."
        err().print(again, style="dim", markup=False, highlight=False)


class Going:
    """The keys of rows, one by one; notes whether one of them comes back with the folder or bucket
    ``root`` that the gallery mirrors."""

    def __init__(self, gallery: Gallery, rows: Iterator[Row]) -> None:
        from vizinho.gallery.returning import Mirrored

        self._rows = rows
        self._mirrored = Mirrored(gallery)
        self.root = self._mirrored.root
        self.returning = False

    def __iter__(self) -> Going:
        return self

    def __next__(self) -> str:
        row = next(self._rows)
        self.returning = self.returning or self._mirrored.brings_back(row)
        return row.key
