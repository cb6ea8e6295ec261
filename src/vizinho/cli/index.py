"""``vizinho index``: a folder or a data set into a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.console import AsJson, edge, progress
from vizinho.cli.reports import print_add_report

if TYPE_CHECKING:
    from vizinho.gallery import AddReport, Gallery


@edge
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|DATASET",
            help="A folder of pictures, or a data set: cifar10:test, a .parquet or .csv file.",
        ),
    ],
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", "-g", help="Default: ./NAME.vizinho, after the source."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model bundle of a new gallery: a name or a folder."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="PRECISION",
            help="Of a new gallery's network: fp32, the default, or int8 if the model has one.",
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Label each picture with its folder's name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Index a folder of pictures. Run again: only what changed is done."""
    path = gallery or default_gallery(source)
    new = not path.exists()
    made = _open_or_create(path, model, precision)
    try:
        report = _fill(made, source, labels=labels, quiet=as_json)
        count = made.count
    except Exception:
        if new:
            # A gallery that this very command made, and could put nothing into, is only litter.
            made.discard_if_empty()
        made.close()
        raise
    made.close()
    print_add_report(report, path, count, as_json=as_json)


def default_gallery(source: str) -> Path:
    """Where a source is indexed to unless told: ``NAME.vizinho`` in the working directory."""
    from vizinho.settings import GALLERY_SUFFIX

    folder = Path(source)
    name = folder.resolve().name if folder.exists() else source.replace(":", "-")
    for suffix in (".parquet", ".csv"):
        name = name.removesuffix(suffix)
    return Path(f"{Path(name).name or 'gallery'}{GALLERY_SUFFIX}")


def _open_or_create(path: Path, model: str | None, precision: str | None) -> Gallery:
    from vizinho.errors import GalleryError
    from vizinho.gallery import Gallery
    from vizinho.settings import load

    if path.exists():
        found = Gallery.open(path, model=model)
        if precision not in (None, found.about.precision):
            found.close()
            raise GalleryError(
                f"{path} was indexed in {found.about.precision}, not in {precision}: their "
                "distances can't be compared.",
                "Leave the precision out, or index into a new gallery.",
            )
        return found
    return Gallery.create(path, model=model or load().model, precision=precision or "fp32")


def _fill(gallery: Gallery, source: str, *, labels: bool, quiet: bool) -> AddReport:
    if Path(source).is_dir():
        with progress("Indexing", quiet=quiet) as report:
            return gallery.sync_folder(Path(source), labels=labels, progress=report)
    from vizinho.datasets import load_dataset
    from vizinho.settings import default_data_dir

    dataset = load_dataset(source, data_dir=default_data_dir())
    with progress("Indexing", quiet=quiet) as report:
        return gallery.add_dataset(dataset, progress=report)
