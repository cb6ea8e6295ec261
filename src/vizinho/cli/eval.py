"""``vizinho eval``: what a model achieves on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, err, print_json, print_table, progress

if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.evaluate import BundleEvaluation


@edge
def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A bundle's folder, or a shipped model's name.")
    ],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="cifar10:test, a folder of class/picture, or a .parquet or .csv file.",
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET", help="Also name each picture by its nearest ones of this set (kNN)."
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Another model to show beside it; may be repeated."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write report.html and report.md with pictures."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the figures in the model's bundle.json.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model: Top-1, MAP@R and more, each picture searched among all others."""
    from vizinho.bundle import resolve_bundle, update_metrics
    from vizinho.datasets import load_dataset
    from vizinho.settings import default_data_dir

    models = [resolve_bundle(name) for name in (model, *(beside or ()))]
    where = default_data_dir()
    pictures = load_dataset(dataset, data_dir=where)
    known = load_dataset(against, data_dir=where) if against else None
    measured = [_measure(folder, pictures, known, quiet=as_json) for folder in models]
    if write:
        for folder, each in zip(models, measured, strict=True):
            update_metrics(folder, {pictures.name: each.to_dict(full=False)})
    page = None
    if report is not None:
        from vizinho.report import write_report

        page = write_report(measured[0], report, beside=measured[1:])
    if as_json:
        _print_as_json(measured, page)
    else:
        _print(measured, page)


def _measure(
    folder: Path, pictures: LabelledImages, known: LabelledImages | None, *, quiet: bool
) -> BundleEvaluation:
    from vizinho.embedder import Embedder
    from vizinho.evaluate import evaluate_bundle

    embedder = Embedder.open(folder)
    with progress(f"Measuring {embedder.name}", quiet=quiet) as report:
        return evaluate_bundle(embedder, pictures, against=known, progress=report)


def _print_as_json(measured: list[BundleEvaluation], page: Path | None) -> None:
    answer: dict[str, Any] = {"model": measured[0].info.name, **measured[0].to_dict()}
    if len(measured) > 1:
        answer["beside"] = [{"model": each.info.name, **each.to_dict()} for each in measured[1:]]
    if page is not None:
        answer["report"] = str(page)
    print_json(answer)


def _print(measured: list[BundleEvaluation], page: Path | None) -> None:
    from vizinho.report import class_rows, metric_rows

    first = measured[0]
    names = [each.info.name for each in measured]
    values = [dict(metric_rows(each)) for each in measured]
    print_table(
        ["metric", *names],
        [[name, *(found.get(name, "-") for found in values)] for name, _ in metric_rows(first)],
        right=names,
    )
    typer.echo()
    print_table(
        ["class", "pictures", "Top-1", "mostly mistaken for"],
        class_rows(first),
        right=["pictures", "Top-1"],
    )
    result = first.result
    typer.echo(
        f"\n{result.queries:,} queries among {result.references:,} pictures of "
        f"{first.dataset.name}, leave-one-out, Euclidean."
    )
    for skipped in first.skipped:
        err().print(f"Skipped {skipped.name}: {skipped.reason}", markup=False, highlight=False)
    if page is not None:
        typer.echo(f"Report: {page}")
