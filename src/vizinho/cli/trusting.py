"""The part of ``vizinho eval`` that asks whether a model's probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vizinho.cli.console import print_table, progress
from vizinho.errors import BundleError

if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.evaluate import BundleEvaluation
    from vizinho.report.trust import Trust

#: Pictures of each kind of nonsense.
NONSENSE = 1000


def measure(
    folder: Path,
    evaluation: BundleEvaluation,
    unknown: Sequence[LabelledImages],
    threads: int,
    *,
    quiet: bool,
) -> Trust | None:
    """Measured on an evaluation's data set, on ``unknown`` ones and on nonsense made here; None
    for a model without calibration. Raises BundleError where one was needed."""
    from vizinho.embedder import Embedder
    from vizinho.evaluate.nonsense import MAKERS
    from vizinho.gallery.answers import read_calibration
    from vizinho.report.trust import Strangers, measure_trust

    calibration = read_calibration(folder)
    if calibration is None:
        if unknown:
            raise BundleError(
                f"{evaluation.info.name} has no calibration, so it takes nothing for unknown.",
                "Calibrate it with `vizinho calibrate MODEL DATASET`.",
            )
        return None
    embedder = Embedder.open(folder, threads=threads)
    strangers = {}
    for images in unknown:
        with progress(f"Embedding {images.name}", quiet=quiet) as report:
            pixels, kept = images.pixels(embedder.spec)
            found = embedder.embed_pixels(pixels, progress=report)
            strangers[images.name] = Strangers(found, images.labels[kept], tuple(images.classes))
    with progress("Embedding nonsense", quiet=quiet) as report:
        for name, make in MAKERS.items():
            pixels = make(NONSENSE, embedder.spec.size)
            strangers[name] = Strangers(embedder.embed_pixels(pixels, progress=report))
    return measure_trust(evaluation, calibration, strangers)


def print_trust(trust: Trust) -> None:
    """The figures as a person reads them."""
    from vizinho.report.trust import trust_rows, trust_sentence

    typer.echo(f"\n{trust_sentence(trust)}\n")
    columns = ["unknown", "pictures", "AUROC", "FPR at 95 % TPR", "told: nothing alike"]
    print_table(columns, trust_rows(trust), right=columns[1:])
