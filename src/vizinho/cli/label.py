"""``vizinho label``: what pictures are said to show."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.choosing import (
    STDIN,
    WAIT_SECONDS,
    KeysArgument,
    WaitOption,
    WhereOption,
    named_keys,
    patience,
    print_unknown,
)
from vizinho.cli.console import AsJson, GalleryOption, edge, out, parse_pairs, print_json, progress
from vizinho.errors import GalleryError, KeyNotFound


@edge
def command(
    keys: KeysArgument = None,
    gallery: GalleryOption = None,
    label: Annotated[
        str | None, typer.Option("--set", "-s", metavar="LABEL", help="The label to give.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the label away.")] = False,
    where: WhereOption = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CSV",
            help="A table with the columns key and label, each picture's own; - reads it from "
            "standard input. An empty label takes it away.",
        ),
    ] = None,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Set or clear the labels of pictures. Their embeddings are not touched."""
    from vizinho.gallery import Gallery
    from vizinho.gallery.select import Selection
    from vizinho.settings import find_gallery

    if sum((label is not None, clear, table is not None)) != 1:
        raise typer.BadParameter("Say one of --set LABEL, --clear and --from CSV.")
    if table is not None and (keys or where):
        raise typer.BadParameter("The table names the pictures itself.", param_hint="--from")
    if table is None and not (keys or where):
        raise typer.BadParameter("Name the keys, or say which with --where.", param_hint="KEY")
    conditions = parse_pairs(where or [], "--where", texts=("label",))
    path = find_gallery(gallery)
    with Gallery.open(path) as opened, progress("Labelling", quiet=as_json) as report:
        opened.patience = patience(wait)
        if table is not None:
            done = opened.set_labels(read_table(table), progress=report)
        else:
            meant = Selection(opened, named_keys(keys) if keys else None, conditions)
            done = opened.set_labels(((row.key, label) for row in meant), progress=report)
            done.unknown += meant.unknown
    if not (done.changed or done.unchanged):
        raise KeyNotFound(f"None of these pictures is in {path}.", "`vizinho list` shows the keys.")
    if as_json:
        told = {"changed": done.changed, "unchanged": done.unchanged, "unknown": done.unknown}
        print_json({"gallery": str(path), **told})
        return
    out().print(
        f"{path}: {done.changed:,} labelled anew, {done.unchanged:,} as before.",
        markup=False,
        highlight=False,
    )
    print_unknown(done.unknown)


def read_table(name: str) -> Iterator[tuple[str, str | None]]:
    """Keys and labels of a CSV file; its first line may name the columns ``key`` and ``label``.

    Raises GalleryError for a line that has not two columns.
    """
    source = (
        nullcontext(sys.stdin)
        if name == STDIN
        else Path(name).open(newline="", encoding="utf-8-sig")  # noqa: SIM115
    )
    with source as file:
        key, label = 0, 1
        try:
            for number, line in enumerate(csv.reader(file), 1):
                if number == 1 and {"key", "label"} <= set(line):
                    key, label = line.index("key"), line.index("label")
                elif line:
                    yield line[key], line[label] or None
        except IndexError as error:
            raise GalleryError(
                f"Line {number} of {name} has no label.", "Each line is KEY,LABEL."
            ) from error
        except (csv.Error, UnicodeDecodeError) as error:
            raise GalleryError(
                f"{name} is no table: {error}.", "Save it as CSV in UTF-8."
            ) from error
