"""``vizinho feedback``: what people said of results, right or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    out,
    print_json,
    print_table,
    progress,
)
from vizinho.cli.reports import plain, print_skipped

if TYPE_CHECKING:
    from vizinho.gallery.feedback import Mark
    from vizinho.gallery.feedback_export import FeedbackExport

CONFLICTS_SHOWN = 10


@edge
def command(
    gallery: GalleryOption = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write pairs.csv, labels.csv (for `vizinho train`) and the pictures there.",
        ),
    ] = None,
    offset: Annotated[int, typer.Option(metavar="N", min=0, help="Skip the newest N.")] = 0,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show at most so many; 0 shows all.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List the right and wrong marks given on results, newest first; --export writes them out.

    Marks are given on the page, where the server runs with --writable.
    """
    from vizinho.gallery import Gallery
    from vizinho.gallery.feedback_export import export_feedback
    from vizinho.settings import find_gallery

    path = find_gallery(gallery)
    with Gallery.open(path) as opened:
        kept = opened.feedback
        counts = kept.counts()
        if export is not None:
            with progress("Writing", quiet=as_json) as report:
                done = export_feedback(opened, kept, export, progress=report)
        else:
            marks = kept.marks(offset, limit or sum(counts.values()))
    about: dict[str, Any] = {"gallery": str(path), **counts}
    if export is not None:
        if as_json:
            print_json(about | _told(done, export))
        else:
            _print_export(done, export)
    elif as_json:
        print_json(about | {"offset": offset, "marks": [mark.to_dict() for mark in marks]})
    else:
        _print(marks, counts, str(path))


def _told(done: FeedbackExport, folder: Path) -> dict[str, Any]:
    return {
        "export": str(folder),
        "pairs": done.pairs,
        "pictures": done.pictures,
        "labelled": done.labelled,
        "unlabelled_groups": done.unlabelled,
        "conflicts": [
            {"why": each.why, "pictures": [list(picture) for picture in each.pictures]}
            for each in done.conflicts
        ],
        "skipped": [{"name": each.name, "reason": each.reason} for each in done.skipped],
    }


def _print_export(done: FeedbackExport, folder: Path) -> None:
    out().print(
        f"{folder}: {done.pairs:,} pairs, {done.pictures:,} pictures, "
        f"{done.labelled:,} of them with a label that follows.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console = err()
    if done.unlabelled:
        console.print(
            f"{done.unlabelled:,} groups have no label among them: they are in pairs.csv only.",
            highlight=False,
        )
    if done.conflicts:
        count = len(done.conflicts)
        console.print(
            f"{count:,} contradiction{'s' * (count != 1)}, left out of labels.csv (see "
            "conflicts.csv):",
            style="yellow",
            highlight=False,
        )
        for each in done.conflicts[:CONFLICTS_SHOWN]:
            names = ", ".join(f"{path} ({label or 'no label'})" for path, label in each.pictures)
            console.print(f"  {plain(each.why)}: {plain(names)}", markup=False, highlight=False)
    print_skipped(done.skipped)


def _print(marks: list[Mark], counts: dict[str, int], gallery: str) -> None:
    console = out()
    console.print(
        f"{gallery}: {counts['right']:,} right, {counts['wrong']:,} wrong.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if not marks:
        return
    rows = [
        [
            mark.to_dict()["time"][:16].replace("T", " "),
            mark.verdict,
            f"{mark.distance:.2f}",
            plain(mark.query_key or f"a picture, {mark.query_hash[:12]}")
            + (" (a part)" if mark.crop else ""),
            plain(mark.key),
        ]
        for mark in marks
    ]
    print_table(["when (UTC)", "said", "distance", "query", "result"], rows, right=["distance"])
    if sum(counts.values()) > len(marks):
        err().print("--offset and --limit show others.", style="dim", highlight=False)
