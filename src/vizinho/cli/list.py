"""``vizinho list``: what a gallery holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.choosing import KeysArgument, WhereOption, named_keys, print_unknown
from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    parse_pairs,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from vizinho.gallery import GalleryView, Row

_PAGE = 1000


@edge
def command(
    keys: KeysArgument = None,
    gallery: GalleryOption = None,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Only pictures with this label.")
    ] = None,
    where: WhereOption = None,
    sort: Annotated[
        str,
        typer.Option(metavar="NAME", help="Order by key, label or the name of some metadata."),
    ] = "key",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The last first.")] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Only the labels, and how many pictures have each.")
    ] = False,
    bare: Annotated[
        bool, typer.Option("--keys", help="Only the keys, one on a line: for `remove -`.")
    ] = False,
    offset: Annotated[int, typer.Option(min=0, help="Skip that many.")] = 0,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="Show that many; 0 for all.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List a gallery's pictures, ordered by key."""
    from vizinho.gallery import Gallery
    from vizinho.gallery.select import Selection
    from vizinho.settings import find_gallery

    conditions = parse_pairs(where or [], "--where", texts=("label",))
    if label is not None:
        conditions["label"] = label
    with Gallery.open(find_gallery(gallery)) as opened:
        plain = (
            not keys and set(conditions) <= {"label"} and conditions.get("label", "") is not None
        )
        meant = Selection(opened, named_keys(keys) if keys else None, conditions)
        if labels:
            everything = plain and not conditions
            print_labels(opened.labels() if everything else counted(meant), as_json=as_json)
            return
        if plain and sort == "key" and not reverse:
            # The engine finds a page by itself, however deep it is.
            rows = pages(opened, offset, limit, conditions.get("label"))
        else:
            end = offset + limit if limit else None
            rows = islice(ordered(opened, meant, sort, reverse), offset, end)
        if as_json:
            write_json((row.key if bare else asdict(row)) for row in rows)
            return
        shown = write_keys(rows) if bare else write_lines(rows)
        count = opened.count
    if limit and shown == limit and offset + shown < count:
        more = f"--offset {offset + limit} goes on; the gallery holds {count:,}."
        err().print(more, style="dim", highlight=False)
    print_unknown(meant.unknown)


def pages(gallery: GalleryView, offset: int, limit: int, label: str | None) -> Iterator[Row]:
    """``limit`` rows from ``offset`` on, or all that follow."""
    from vizinho.gallery.select import walk

    first = gallery.items(offset, min(limit or _PAGE, _PAGE), label)
    yield from first
    if first and len(first) == _PAGE != limit:
        rest = walk(gallery, first[-1].key, label)
        yield from islice(rest, limit - len(first)) if limit else rest


def ordered(gallery: GalleryView, rows: Iterable[Row], sort: str, reverse: bool) -> Iterable[Row]:
    """Rows by a value of theirs, those without one last; only value and key are held in memory."""
    if sort == "key" and not reverse:
        return rows
    values = [
        (
            row.key if sort == "key" else row.label if sort == "label" else row.metadata.get(sort),
            row.key,
        )
        for row in rows
    ]
    have = sorted((rank(value), key) for value, key in values if value is not None)
    if reverse:
        have.reverse()
    keys = [key for _, key in have] + [key for value, key in values if value is None]
    return (
        row
        for start in range(0, len(keys), _PAGE)
        for row in gallery.get_many(keys[start : start + _PAGE])
    )


def rank(value: Any) -> tuple[int, float, str]:
    """A place in an order of numbers first, then texts, then all else as JSON."""
    if isinstance(value, int | float):
        return (0, value, "")
    return (1, 0, value) if isinstance(value, str) else (2, 0, json.dumps(value, sort_keys=True))


def counted(rows: Iterable[Row]) -> dict[str | None, int]:
    """How many of the rows have each label."""
    counts: dict[str | None, int] = {}
    for row in rows:
        counts[row.label] = counts.get(row.label, 0) + 1
    return counts


def print_labels(counts: dict[str | None, int], *, as_json: bool) -> None:
    """Labels and their counts, the most frequent first."""
    lines = sorted(counts.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    if as_json:
        print_json([{"label": label, "count": count} for label, count in lines])
        return
    shown = [(f"{count:,}", "(none)" if label is None else label) for label, count in lines]
    print_table(["pictures", "label"], shown, right=["pictures"])


def write_json(values: Iterable[dict[str, Any] | str]) -> None:
    """A JSON list on stdout, written value by value: its length needs no memory."""
    sep = "\n"
    sys.stdout.write("[")
    for value in values:
        sys.stdout.write(f"{sep}  {json.dumps(value, ensure_ascii=False)}")
        sep = ",\n"
    sys.stdout.write("\n]\n" if sep == ",\n" else "]\n")


def write_keys(rows: Iterable[Row]) -> int:
    """The key of each row on a line of its own; returns how many there were."""
    shown = 0
    for row in rows:
        sys.stdout.write(f"{row.key}\n")
        shown += 1
    return shown


def write_lines(rows: Iterable[Row]) -> int:
    """Rows as a table, a page at a time, with one head; returns how many there were."""
    stream = iter(rows)
    shown = 0
    wide = len("label")
    while page := list(islice(stream, _PAGE)):
        wide = max(wide, *(len(row.label or "") for row in page))
        if not shown:
            sys.stdout.write(f"{'label':<{wide}}  key\n")
        sys.stdout.writelines(f"{row.label or '':<{wide}}  {row.key}\n" for row in page)
        shown += len(page)
    if not shown:
        sys.stdout.write("label  key\n")
    return shown
