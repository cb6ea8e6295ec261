"""``vizinho calibrate``: what distances are worth, for a model or for a gallery."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, print_fields, print_json, progress

if TYPE_CHECKING:
    from vizinho.calibrate import Calibration


@edge
def command(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A bundle's folder, or a shipped model's name."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="Labelled pictures. Of the set that MODEL learned from, what was held out.",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery", "-g", help="A gallery with labels, instead of MODEL and DATASET."
        ),
    ] = None,
    refuse: Annotated[
        float,
        typer.Option(
            min=0.001, max=0.5, help="Share of genuine queries that may be told: nothing alike."
        ),
    ] = 0.05,
    distance_only: Annotated[
        bool,
        typer.Option(
            "--distance-only",
            help="Judge a query by the gallery alone, not also by how near it is to the classes in "
            "DATASET: for galleries of other things.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn from labelled pictures what a distance is worth: the chance that a result is of the
    query's kind, and when the answer is that nothing is alike."""
    if gallery is not None:
        if model or dataset or distance_only:
            raise typer.BadParameter("Name a gallery, or a model and a data set; not both.")
        found = _gallery(gallery, refuse, quiet=as_json)
        kept = str(gallery)
    else:
        if model is None or dataset is None:
            raise typer.BadParameter("Name MODEL and DATASET, or a --gallery.")
        found, kept = _model(model, dataset, refuse, not distance_only, quiet=as_json)
    answer: dict[str, Any] = {
        "kept_in": kept,
        "method": found.chance.method,
        "refused": found.judgement.refused,
        "cut": found.judgement.cut,
        "familiar": found.familiarity is not None,
        **found.about,
    }
    if as_json:
        print_json(answer)
        return
    print_fields(
        {
            "kept in": kept,
            "fitted on": found.about["data"],
            "queries": f"{found.about['queries']:,}",
            "probability": found.chance.method,
            "nothing alike": f"at most {found.judgement.refused:.1%} of genuine queries",
        }
    )


def _gallery(path: Path, refuse: float, *, quiet: bool) -> Calibration:
    from vizinho.gallery import Gallery
    from vizinho.gallery.calibrating import calibrate_gallery
    from vizinho.settings import find_gallery

    with Gallery.open(find_gallery(path)) as opened, progress("Searching", quiet=quiet) as report:
        return calibrate_gallery(opened, refused=refuse, progress=report)


def _model(
    model: str, dataset: str, refuse: float, familiar: bool, *, quiet: bool
) -> tuple[Calibration, str]:
    from vizinho.bundle import resolve_bundle, update_calibration
    from vizinho.calibrate.fitting import CalibrationImpossible
    from vizinho.calibrate.heldout import HeldOut, calibrate_embeddings
    from vizinho.datasets import load_dataset
    from vizinho.datasets.heldout import held_out
    from vizinho.embedder import Embedder
    from vizinho.errors import DatasetError
    from vizinho.settings import default_data_dir

    folder = resolve_bundle(model)
    embedder = Embedder.open(folder, threads=os.cpu_count() or 1)
    pictures = held_out(load_dataset(dataset, data_dir=default_data_dir()), embedder.info.training)
    with progress(f"Embedding by {embedder.name}", quiet=quiet) as report:
        pixels, kept = pictures.pixels(embedder.spec)
        embeddings = embedder.embed_pixels(pixels, progress=report)
    try:
        found = calibrate_embeddings(
            HeldOut(embeddings, pictures.labels[kept]),
            familiar=familiar,
            refused=refuse,
            about={
                "data": pictures.name,
                "protocol": "leave-one-out, Euclidean, pictures that the model has not learned",
            },
        )
    except CalibrationImpossible as error:
        raise DatasetError(
            f"{embedder.name} can't be calibrated on {pictures.name}: {error}",
            "Give more labelled pictures.",
        ) from error
    update_calibration(folder, found.to_dict())
    return found, str(folder)
