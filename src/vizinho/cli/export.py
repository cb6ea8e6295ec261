"""``vizinho export``: a gallery's embeddings as files that other programs read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, GalleryOption, edge, out, print_json, progress
from vizinho.cli.reports import print_skipped


@edge
def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New, or an earlier export.")],
    gallery: GalleryOption = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Write the pictures themselves, too.")
    ] = False,
    part_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Pictures in each pair of files.")
    ] = 100_000,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Write embeddings (.npy), what is known of each picture (parquet) and the model.

    The layout is clip-retrieval's: img_emb/ and metadata/. Run again: only what changed is written.
    """
    from vizinho.gallery import Gallery
    from vizinho.gallery.export import export
    from vizinho.settings import find_gallery

    path = find_gallery(gallery)
    with Gallery.open(path) as opened, progress("Exporting", quiet=as_json) as report:
        done = export(
            opened,
            folder,
            pictures=pictures,
            part_rows=part_rows,
            patience=patience(wait),
            progress=report,
        )
    if as_json:
        print_json({"gallery": str(path), "folder": str(folder), **asdict(done)})
        return
    parts = f"{done.parts:,} part{'' if done.parts == 1 else 's'}"
    kept = f", {done.kept:,} of them unchanged" if done.kept else ""
    out().print(
        f"{folder}: {done.rows:,} pictures in {parts}{kept}.", markup=False, highlight=False
    )
    print_skipped(done.skipped)
