"""``vizinho dedupe``: pictures that a gallery holds more than once."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    at_terminal,
    edge,
    err,
    out,
    print_json,
    print_table,
    progress,
)
from vizinho.cli.reports import print_skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vizinho.gallery import Gallery
    from vizinho.gallery.dedupe import Duplicates, Group
    from vizinho.report.groups import GroupSheet

GROUPS_SHOWN = 20
TILES_SHOWN = 48
SHOWN = {"identical": "identical", "near": "near-identical", "similar": "similar"}


@edge
def command(
    gallery: GalleryOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="identical, near or similar; may be repeated. Default: the first two.",
        ),
    ] = None,
    similar: Annotated[
        float | None,
        typer.Option(
            metavar="DISTANCE", min=0, help="Also pictures whose embeddings are that close."
        ),
    ] = None,
    sheets: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write a contact sheet per group and index.html there."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Draw at most so many sheets.")
    ] = 200,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Remove all but the kept one of identical and near groups."),
    ] = False,
    delete_files: Annotated[
        bool,
        typer.Option("--delete-files", help="With --remove: also files of the indexed folder."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Find pictures that a gallery holds more than once; --remove keeps one of each.

    Identical: the same file or the same pixels. Near: turned, mirrored, resized, recompressed,
    slightly cropped. Similar: close for the model (`--only similar` measures how close that is).
    """
    from vizinho.errors import GalleryError
    from vizinho.gallery import Gallery
    from vizinho.gallery.dedupe import find_duplicates, remove_duplicates
    from vizinho.gallery.returning import any_returning
    from vizinho.settings import find_gallery

    kinds = _kinds(only, similar)
    if delete_files and not remove:
        raise typer.BadParameter("Only with --remove.", param_hint="--delete-files")
    path = find_gallery(gallery)
    with Gallery.open(path) as opened:
        opened.patience = patience(wait)
        with progress("Comparing", quiet=as_json) as report:
            found = find_duplicates(opened, kinds, distance=similar, progress=report)
        page = None
        if sheets is not None:
            with progress("Drawing", quiet=as_json) as report:
                page = _write(opened, found, sheets, limit, report)
        if not as_json:
            _print(found, str(path), page)
        removed: tuple[int, int] | None = None
        returning = False
        spare = [member for group in found.groups for member in group.spare]
        if remove and spare:
            if not yes:
                if as_json or not at_terminal():
                    raise GalleryError(
                        f"{len(spare):,} pictures would be removed, and nobody is here to say yes.",
                        "Say --yes, or run it in a terminal.",
                    )
                files = " and their files" if delete_files else ""
                typer.confirm(f"Remove {len(spare):,} pictures{files}?", abort=True, err=True)
            returning = any_returning(opened, [each.key for each in spare if each.indexed])
            removed = remove_duplicates(opened, found.groups, delete_files=delete_files)
    if as_json:
        print_json(_answer(found, str(path), page, removed))
    elif removed is not None:
        count, files_gone = removed
        said = f"{count:,} removed from the gallery, {files_gone:,} files deleted."
        out().print(said, markup=False, highlight=False)
        if returning and not delete_files:
            err().print(
                "Their files are still in the indexed folder: the next `vizinho index` brings them "
                "back. --delete-files deletes them too.",
                style="yellow",
                highlight=False,
            )


def _kinds(only: list[str] | None, similar: float | None) -> list[str]:
    from vizinho.gallery.dedupe import KINDS

    for kind in only or ():
        if kind not in KINDS:
            raise typer.BadParameter(
                f"{kind!r} is none of {', '.join(KINDS)}.", param_hint="--only"
            )
    kinds = list(only or KINDS[:2])
    return [*kinds, "similar"] if similar is not None and "similar" not in kinds else kinds


def _answer(
    found: Duplicates, gallery: str, page: Path | None, removed: tuple[int, int] | None
) -> dict[str, Any]:
    from vizinho.gallery.dedupe import RULE

    answer: dict[str, Any] = {
        "gallery": gallery,
        "pictures": found.pictures,
        "rule": RULE,
        "similar_distance": found.distance,
        "groups": [
            {
                "kind": group.kind,
                "keep": group.members[0].key,
                "why": group.why,
                "could_go": [member.key for member in group.spare],
                "members": [asdict(member) for member in group.members],
            }
            for group in found.groups
        ],
        "skipped": [asdict(each) for each in found.skipped],
    }
    if page is not None:
        answer["sheets"] = str(page)
    if removed is not None:
        answer["removed"], answer["files_deleted"] = removed
    return answer


def _print(found: Duplicates, gallery: str, page: Path | None) -> None:
    counts = {
        words: sum(group.kind == kind for group in found.groups) for kind, words in SHOWN.items()
    }
    told = ", ".join(f"{number:,} {words}" for words, number in counts.items() if number)
    spare = [member for group in found.groups for member in group.spare]
    size = sum(member.bytes for member in spare) / 1e6
    console = out()
    console.print(
        f"{gallery}: {told or 'no'} {'group' if len(found.groups) == 1 else 'groups'} "
        f"among {found.pictures:,} pictures"
        + (f"; {len(spare):,} pictures ({size:,.1f} MB) could go." if spare else "."),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if found.distance is not None:
        console.print(f"Similar: at most {found.distance:.4g} apart.", highlight=False)
    rows = [
        [SHOWN[group.kind], f"keep: {group.why}" if not place else each.how, _size(each), each.key]
        for group in found.groups[:GROUPS_SHOWN]
        for place, each in enumerate(group.members[:TILES_SHOWN])
    ]
    if rows:
        print_table(["kind", "what", "size", "key"], rows)
    if len(found.groups) > GROUPS_SHOWN:
        more = (
            f"and {len(found.groups) - GROUPS_SHOWN:,} more groups; --sheets and --json show all."
        )
        err().print(more, style="dim", highlight=False)
    if page is not None:
        console.print(f"Sheets: {page}", markup=False, highlight=False, soft_wrap=True)
    print_skipped(found.skipped)


def _size(member: Any) -> str:
    return f"{member.width} x {member.height}, {member.bytes / 1000:,.1f} kB"


def _write(gallery: Gallery, found: Duplicates, folder: Path, limit: int, report: Any) -> Path:
    from vizinho.gallery.dedupe import RULE
    from vizinho.report.groups import write_groups

    shown = found.groups[:limit]

    def drawn() -> Iterator[GroupSheet]:
        for number, group in enumerate(shown, 1):
            yield _sheet(gallery, group, number)
            if report is not None:
                report(number, len(shown))

    texts = [RULE, "Pictures that are only similar are shown, and never removed."]
    if len(found.groups) > len(shown):
        texts.append(
            f"The first {len(shown):,} of {len(found.groups):,} groups; --limit shows more."
        )
    return write_groups(folder, f"Duplicates in {gallery.path.name}", texts, drawn())


def _sheet(gallery: Gallery, group: Group, number: int) -> GroupSheet:
    from vizinho.gallery.dedupe import read_bytes_of
    from vizinho.images import load_image
    from vizinho.report.groups import GroupSheet, Tile

    def load(key: str) -> Any:
        return load_image(read_bytes_of(gallery, key), target=160, name=key)

    kept = group.kind != "similar"
    tiles = [
        Tile(
            partial(load, each.key),
            [each.key, _size(each), f"kept: {group.why}" if kept and not place else each.how],
            kept=kept and place == 0,
        )
        for place, each in enumerate(group.members[:TILES_SHOWN])
    ]
    more = len(group.members) - len(tiles)
    rest = f", {more} more not shown" if more else ""
    return GroupSheet(f"{number}. {SHOWN[group.kind]}, {len(group.members)} pictures{rest}", tiles)
