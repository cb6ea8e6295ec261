"""``vizinho import``: embeddings that were exported, or made by clip-retrieval, into a gallery."""

# ruff: noqa: N999 - the verb is called import

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, edge, progress
from vizinho.cli.reports import print_add_report

if TYPE_CHECKING:
    from vizinho.gallery import Gallery


@edge
def command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="With img_emb/ and metadata/ in it."),
    ],
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery",
            "-g",
            help="Made if it is not there. Default: ./NAME.vizinho, after FOLDER.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model bundle of a new gallery: a name or a folder. Default: the export's own.",
        ),
    ] = None,
    unknown_model: Annotated[
        bool,
        typer.Option(
            "--unknown-model",
            help="Take it that the gallery's model made the embeddings, where they don't say.",
        ),
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures", help="Copy pictures from elsewhere on this machine, too, by image_path."
        ),
    ] = False,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Goes before all keys, as 'trip/'.")
    ] = "",
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Take in embeddings without embedding anything. Run again: it goes on where it stopped."""
    from vizinho.gallery import Gallery
    from vizinho.place import as_place

    path = as_place(gallery or default_gallery(folder))
    new = not Gallery.exists(path)
    opened = _open_or_create(path, folder, model)
    try:
        opened.patience = patience(wait)
        with progress("Importing", quiet=as_json) as report:
            done = opened.import_folder(
                folder,
                unknown_model=unknown_model,
                pictures=pictures,
                prefix=prefix,
                progress=report,
            )
        count = opened.count
    except Exception:
        if new:
            # A gallery that this very command made, and could put nothing into, is only litter.
            opened.discard_if_empty()
        opened.close()
        raise
    opened.close()
    print_add_report(done, path, count, as_json=as_json)


def default_gallery(folder: Path) -> Path:
    """Where a folder is imported to unless told: ``NAME.vizinho`` in the working directory."""
    from vizinho.settings import GALLERY_SUFFIX

    return Path(f"{folder.resolve().name or 'gallery'}{GALLERY_SUFFIX}")


def _open_or_create(path: Path, folder: Path, model: str | None) -> Gallery:
    from vizinho.errors import GalleryError
    from vizinho.gallery import Gallery, exchange
    from vizinho.settings import load

    if Gallery.exists(path):
        return Gallery.open(path, model=model)
    if not folder.is_dir():
        raise GalleryError(f"{folder} is no folder.", "Name one that `vizinho export` wrote.")
    own = folder / exchange.MODEL
    about = exchange.read_about(folder / exchange.ABOUT)
    return Gallery.create(
        path,
        model=model or (own if own.is_dir() else load().model),
        precision="fp32" if about is None else about.precision,
    )
