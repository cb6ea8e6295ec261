"""``vizinho index``: a folder, a bucket or a data set into a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, edge, progress
from vizinho.cli.optimising import LatencyOption, RecallOption, optimise
from vizinho.cli.reports import print_add_report

if TYPE_CHECKING:
    from vizinho.gallery import AddReport, Gallery
    from vizinho.sources import Tree


@edge
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|BUCKET|DATASET",
            help="A folder of pictures, s3://BUCKET/PREFIX, or a data set: cifar10:test, a "
            ".parquet or .csv file.",
        ),
    ],
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", "-g", help="Default: ./NAME.vizinho, after the source."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Instead of a folder: a Milvus, as milvus://HOST:19530/NAME."
        ),
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
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="RAY",
            help="Embed on a Ray cluster: ray://HOST:10001, ray://auto on one of its machines, or "
            "ray://local.",
        ),
    ] = None,
    latency_ms: LatencyOption = None,
    recall: RecallOption = None,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Index a folder of pictures or a bucket. Run again: only what changed is done."""
    path = gallery_meant(source, gallery, engine)
    made, new = _open_or_create(path, model, precision)
    made.patience = patience(wait)
    try:
        report = _fill(made, source, labels=labels, workers=workers, quiet=as_json)
        optimise(made, latency_ms=latency_ms, recall=recall, quiet=as_json)
        count = made.count
    except Exception:
        if new:
            # A gallery that this very command made, and could put nothing into, is only litter.
            made.discard_if_empty()
        made.close()
        raise
    made.close()
    print_add_report(report, path, count, as_json=as_json)


def gallery_meant(source: str, gallery: Path | None, engine: str | None) -> Path:
    """Where a source is indexed to: a folder, or an address. Raises typer.BadParameter."""
    from vizinho.place import as_place, is_address

    if engine is None:
        return as_place(gallery) if gallery else default_gallery(source)
    if gallery is not None:
        raise typer.BadParameter("It takes the place of --gallery.", param_hint="--engine")
    if not is_address(engine):
        raise typer.BadParameter(
            f"{engine!r} should look like milvus://HOST:19530/NAME.", param_hint="--engine"
        )
    return as_place(engine)


def default_gallery(source: str) -> Path:
    """Where a source is indexed to unless told: ``NAME.vizinho`` in the working directory."""
    from vizinho.settings import GALLERY_SUFFIX

    folder = Path(source.rstrip("/") if "://" in source else source)
    name = folder.resolve().name if folder.exists() else source.rstrip("/").replace(":", "-")
    for suffix in (".parquet", ".csv"):
        name = name.removesuffix(suffix)
    return Path(f"{Path(name).name or 'gallery'}{GALLERY_SUFFIX}")


def _open_or_create(path: Path, model: str | None, precision: str | None) -> tuple[Gallery, bool]:
    """The gallery, and whether it was just made."""
    from vizinho.errors import GalleryError
    from vizinho.gallery import Gallery
    from vizinho.settings import load

    if Gallery.exists(path):
        found = Gallery.open(path, model=model)
        if precision not in (None, found.about.precision):
            found.close()
            raise GalleryError(
                f"{path} was indexed in {found.about.precision}, not in {precision}: their "
                "distances can't be compared.",
                "Leave the precision out, or index into a new gallery.",
            )
        return found, False
    made = Gallery.create(path, model=model or load().model, precision=precision or "fp32")
    return made, True


def _fill(
    gallery: Gallery, source: str, *, labels: bool, workers: str | None, quiet: bool
) -> AddReport:
    from vizinho.sources import open_sources, open_tree

    tree = open_tree(source)
    if tree is not None:
        return _mirror(gallery, tree, labels=labels, workers=workers, quiet=quiet)
    if workers is not None:
        raise typer.BadParameter("Workers read folders and buckets.", param_hint="--workers")
    if "://" in source:
        with progress("Indexing", quiet=quiet) as report:
            return gallery.add_sources(open_sources([source]), copy=True, progress=report)
    from vizinho.datasets import load_dataset
    from vizinho.settings import default_data_dir

    dataset = load_dataset(source, data_dir=default_data_dir())
    with progress("Indexing", quiet=quiet) as report:
        return gallery.add_dataset(dataset, progress=report)


def _mirror(
    gallery: Gallery, tree: Tree, *, labels: bool, workers: str | None, quiet: bool
) -> AddReport:
    if workers is None:
        with progress("Indexing", quiet=quiet) as report:
            return gallery.sync(tree, labels=labels, progress=report)
    from vizinho.cluster import ray_workers

    with (
        ray_workers(workers, tree, gallery.model_folder, gallery.about.precision) as embed,
        progress("Indexing", quiet=quiet) as report,
    ):
        return gallery.sync(tree, labels=labels, progress=report, through=embed)
