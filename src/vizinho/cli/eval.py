"""``vizinho eval``: what a model achieves on labelled pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, err, print_json, print_table, progress

if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.evaluate import BundleEvaluation
    from vizinho.report.trust import Trust


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
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Only these: seen or unseen (by MODEL's training), or a file, one name a line.",
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
    unknown: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET",
            help="Pictures of kinds that DATASET does not have: are they told so? May be repeated.",
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep MODEL's figures in its bundle.json.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads for embedding; all cores by default. The figures are the same."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model: Top-1, MAP@R and more, each picture searched among all others."""
    from vizinho.bundle import resolve_bundle, update_metrics
    from vizinho.cli.trusting import measure
    from vizinho.datasets import load_dataset
    from vizinho.settings import default_data_dir

    models = [resolve_bundle(name) for name in (model, *(beside or ()))]
    where = default_data_dir()
    pictures = load_dataset(dataset, data_dir=where)
    known = load_dataset(against, data_dir=where) if against else None
    if classes:
        wanted = _classes(classes, models[0])
        called = f"{Path(classes).stem} classes"
        pictures = pictures.only(wanted, f"{pictures.name}, {called}")
        known = known.only(wanted, f"{known.name}, {called}") if known else None
    threads = threads or os.cpu_count() or 1
    measured = [_measure(folder, pictures, known, threads, quiet=as_json) for folder in models]
    strange = [load_dataset(name, data_dir=where) for name in unknown or ()]
    trust = measure(models[0], measured[0], strange, threads, quiet=as_json)
    if write:
        found = measured[0].to_dict(full=False)
        if trust is not None:
            found["trust"] = trust.to_dict()
        update_metrics(models[0], {pictures.name: found})
    page = None
    if report is not None:
        from vizinho.report import write_report

        # A training keeps its checkpoint and curve beside its model, as MODEL.run.
        curve = models[0].with_name(f"{models[0].name}.run") / "curve.png"
        with progress("Drawing the map", quiet=as_json) as drawn:
            page = write_report(
                measured[0],
                report,
                beside=measured[1:],
                curve=curve,
                trust=trust,
                progress=drawn,
            )
    if as_json:
        _print_as_json(measured, trust, page)
    else:
        _print(measured, trust, page)


def _classes(which: str, model: Path) -> list[str]:
    """Class names: those a training saw or kept apart, or the lines of a file."""
    from vizinho.bundle import read_bundle
    from vizinho.errors import DatasetError

    if which in ("seen", "unseen"):
        field = "classes" if which == "seen" else "unseen_classes"
        found = read_bundle(model).training.get(field)
        if not found:
            raise DatasetError(
                f"{model} doesn't say which classes its training left unseen.",
                "Train with --unseen, or name a file with one class a line.",
            )
        return [str(name) for name in found]
    try:
        lines = Path(which).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"The list of classes {which} can't be read: {error}.",
            "Give seen, unseen, or a file with one class a line.",
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _measure(
    folder: Path,
    pictures: LabelledImages,
    known: LabelledImages | None,
    threads: int,
    *,
    quiet: bool,
) -> BundleEvaluation:
    from vizinho.embedder import Embedder
    from vizinho.evaluate import evaluate_bundle

    embedder = Embedder.open(folder, threads=threads)
    with progress(f"Measuring {embedder.name}", quiet=quiet) as report:
        return evaluate_bundle(embedder, pictures, against=known, progress=report)


def _print_as_json(
    measured: list[BundleEvaluation], trust: Trust | None, page: Path | None
) -> None:
    answer: dict[str, Any] = {"model": measured[0].info.name, **measured[0].to_dict()}
    if len(measured) > 1:
        answer["beside"] = [{"model": each.info.name, **each.to_dict()} for each in measured[1:]]
    if trust is not None:
        answer["trust"] = trust.to_dict()
    if page is not None:
        answer["report"] = str(page)
    print_json(answer)


def _print(measured: list[BundleEvaluation], trust: Trust | None, page: Path | None) -> None:
    from vizinho.cli.trusting import print_trust
    from vizinho.report import class_rows, metric_rows

    first = measured[0]
    found = [{name: rest for name, *rest in metric_rows(each)} for each in measured]
    columns = [text for each in measured for text in (each.info.name, "95 % interval")]
    print_table(
        ["metric", *columns],
        [
            [name, *(cell for each in found for cell in each.get(name, ["-", ""]))]
            for name, *_ in metric_rows(first)
        ],
        right=columns,
    )
    typer.echo()
    columns = ["queries", "Top-1", "95 % interval"]
    print_table(["class", *columns, "mostly mistaken for"], class_rows(first), right=columns)
    result = first.result
    typer.echo(
        f"\n{result.queries:,} queries among {result.references:,} pictures of "
        f"{first.dataset.name}, leave-one-out, Euclidean."
    )
    if trust is not None:
        print_trust(trust)
    if first.info.training.get("data") == first.dataset.name:
        err().print(
            f"{first.info.name} was trained on pictures of {first.dataset.name}: on others it will "
            "do worse.",
            style="yellow",
            markup=False,
            highlight=False,
        )
    for skipped in first.skipped:
        err().print(f"Skipped {skipped.name}: {skipped.reason}", markup=False, highlight=False)
    if page is not None:
        typer.echo(f"Report: {page}")
