"""``vizinho add``: pictures into a gallery, wherever they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, GalleryOption, edge, parse_pairs, progress
from vizinho.cli.optimising import optimise
from vizinho.cli.reports import print_add_report

if TYPE_CHECKING:
    from vizinho.sources import Sources


@edge
def command(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Files, folders, patterns such as 'photos/**/*.jpg', s3://BUCKET/PREFIX, .parquet "
            "files; - reads a picture, or a list of paths, from standard input.",
        ),
    ],
    gallery: GalleryOption = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="Label of them all.")] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Label each picture with its folder's name.")
    ] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="NAME=VALUE", help="Kept beside each, as search filters."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Key of a single picture. Default: its file name, made unique."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option(help="Take what lies in folders within a folder, too.")
    ] = True,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Copy a bucket's pictures in, as is always done with files."),
    ] = False,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Add pictures to a gallery; they are copied in. The same picture twice is one picture."""
    from vizinho.gallery import Gallery
    from vizinho.settings import find_gallery

    if key is not None and len(pictures) != 1:
        raise typer.BadParameter("--key is for one picture.", param_hint="--key")
    extra = parse_pairs(metadata or [], "--meta")
    path = find_gallery(gallery)
    with Gallery.open(path) as opened:
        sources = open_all(pictures, recursive=recursive, labels=labels, name=key)
        opened.patience = patience(wait)
        with progress("Adding", quiet=as_json) as report:
            done = opened.add_sources(
                sources, key=key, label=label, metadata=extra, copy=copy, progress=report
            )
        optimise(opened, quiet=as_json)
        count = opened.count
    print_add_report(done, path, count, as_json=as_json)
    if done.skipped and not (done.added or done.changed or done.unchanged or done.duplicates):
        raise typer.Exit(1)


def open_all(specs: list[str], *, recursive: bool, labels: bool, name: str | None) -> Sources:
    """What the specs lead to; those that lead nowhere are among the skipped, unless all do.

    Raises SourceError when there is nothing else.
    """
    from vizinho.datasets import Skipped
    from vizinho.errors import SourceError
    from vizinho.sources import open_sources

    lost: list[tuple[str, SourceError]] = []
    there = []
    for spec in specs:
        try:
            open_sources([spec], recursive=recursive)
            there.append(spec)
        except SourceError as error:
            lost.append((spec, error))
    if not there:
        raise lost[0][1]
    sources = open_sources(
        there, recursive=recursive, labels=labels, stdin=sys.stdin.buffer, stdin_name=name
    )
    sources.skipped += [Skipped(spec, error.message) for spec, error in lost]
    return sources
