"""``vizinho sweep``: many trainings over a grid of options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, err, out, print_json, progress

if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.train.sweep.grid import Cell, Grid
    from vizinho.train.sweep.ledger import Ledger
    from vizinho.train.sweep.pixels import Decoded
    from vizinho.train.sweep.summary import Score

FILES = ("runs.csv", "table.md", "heatmap.png", "curves.png")


@edge
def command(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="What to train on: cifar10:train, a folder of class/picture, a .parquet or .csv.",
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where rows and pictures go.")
    ],
    test: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="Measure every finished run on these pictures too."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="What all runs start from; default: fast.")
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="FIELD=V1,V2,...",
            help="Values of a recipe's field; all are combined.",
        ),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            "--add", metavar="'FIELD=V FIELD=V'", help="One more cell beside the grid, or for one."
        ),
    ] = None,
    told: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the recipe, for all runs."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of each cell, with seeds 0 to N-1.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, for all runs.")] = None,
    table_4_1: Annotated[
        bool, typer.Option("--table-4-1", help="The 27 trainings of the thesis's Table 4.1.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=V1,V2,...", help="Make these cells; show the others as not run."
        ),
    ] = None,
    cells: Annotated[
        str,
        typer.Option(metavar="V/V/V,...", help="The same, by their values: 18/128/0.3,50/64/0.1."),
    ] = "",
    parallel: Annotated[
        int, typer.Option(metavar="N", min=1, help="Runs at once, each in a process of its own.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processor cores for each run; default: all for a single one, else one."
        ),
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Export every run to FOLDER/models/KEY.")
    ] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing: draw what FOLDER has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train over a grid of options: a row per run, a table, a heat map and curves.

    Run the same command again after Ctrl-C or a crash: finished runs stay, unfinished ones go on
    from their checkpoints. More seeds, values or epochs add to what is there.
    """
    from vizinho.cli.reports import print_skipped
    from vizinho.datasets import load_dataset
    from vizinho.settings import load
    from vizinho.train.recipes import changes
    from vizinho.train.sweep import grid as grids
    from vizinho.train.sweep.fit import Fit, is_fixed

    given: dict[str, Any] = changes(told or ())
    if epochs is not None:
        given["epochs"] = epochs
    spans = grids.axes(axes or ())
    if table_4_1:
        recipe, spans, given = grids.table_4_1(recipe, spans, given)
        test = test or "cifar10:test"
    images = None if is_fixed(dataset) else load_dataset(dataset, data_dir=load().data_dir)
    fit = Fit(images)
    grid = grids.build(
        recipe or "fast",
        axes=spans,
        told=given,
        extra=[grids.single(text) for text in extra or ()],
        seeds=seeds,
        make=fit,
    )
    chosen = grids.pick(grid, only=only or (), labels=cells)
    title, preface = _opening(grid, dataset, test, recipe or "fast", table_4_1)

    from vizinho.train.sweep.summary import write

    def redraw(ledger: Ledger) -> list[Score]:
        return write(grid, ledger, folder, title=title, preface=preface)

    if report_only:
        from vizinho.errors import SettingsError
        from vizinho.train.sweep.ledger import Ledger

        if not (folder / "runs.csv").exists():
            raise SettingsError(f"{folder} has no runs.csv.", "Leave out --report-only to train.")
        ledger = Ledger(folder / "runs.csv")
        if ledger.runs and not any(ledger.find(each, None) for each in grid.recipes()):
            raise SettingsError(
                f"None of the {len(ledger.runs)} runs in {folder / 'runs.csv'} is of these cells.",
                "Give --report-only together with the options that the sweep was made with; "
                f"{folder / 'table.md'} has them.",
            )
        _show(grid, redraw(ledger), folder, as_json)
        return

    from vizinho.train.sweep.conduct import held

    for note in () if as_json else fit.notes():
        err().print(note, markup=False, highlight=False)
    images = images or load_dataset(dataset, data_dir=load().data_dir)
    with held(folder):
        ledger = _train(
            grid, chosen, folder, images, test, redraw, as_json, parallel, threads, keep_models
        )
        _show(grid, redraw(ledger), folder, as_json)
    if not as_json:
        print_skipped(images.skipped)


def _train(
    grid: Grid,
    chosen: tuple[Cell, ...],
    folder: Path,
    dataset: LabelledImages,
    test: str | None,
    redraw: Any,
    quiet: bool,
    parallel: int,
    threads: int | None,
    models: bool,
) -> Ledger:
    from vizinho.cli.sweep_view import SweepView
    from vizinho.datasets import load_dataset
    from vizinho.errors import TrainingError
    from vizinho.settings import load
    from vizinho.train.sweep.conduct import conduct
    from vizinho.train.sweep.ledger import Ledger

    where = load().data_dir
    recipes = grid.recipes(chosen)
    sizes = sorted({each.size for each in recipes})
    images = _decoded(dataset, sizes, quiet)
    tested = _decoded(load_dataset(test, data_dir=where), sizes, quiet) if test else {}
    # A folder may hold runs on other data; a cell of theirs is not one of these.
    data = {each for size in images.values() for each in (size.name, size.sha256)}
    with SweepView(grid.fields, lambda rows: redraw(rows.on(data)), quiet=quiet) as view:
        try:
            made = conduct(
                recipes,
                folder,
                images,
                tested,
                view,
                fields=grid.fields,
                parallel=parallel,
                threads=threads,
                models=models,
            )
            return made.on(data)
        except TrainingError:
            # Stopped or not all made: what there is is shown all the same.
            redraw(Ledger(folder / "runs.csv").on(data))
            raise


def _decoded(dataset: LabelledImages, sizes: list[int], quiet: bool) -> dict[int, Decoded]:
    from vizinho.train.sweep.pixels import Decoded

    found = {}
    for size in sizes:
        with progress(f"Reading {dataset.name} at {size} px", quiet=quiet) as report:
            found[size] = Decoded.of(dataset, size, report)
    return found


def _opening(
    grid: Grid, dataset: str, test: str | None, recipe: str, table_4_1: bool
) -> tuple[str, list[str]]:
    """The title of the table and what stands above it."""
    from vizinho.train.sweep.grid import protocol

    title = "The thesis's Table 4.1, run again" if table_4_1 else f"A sweep over {dataset}"
    lines = [
        f"Recipe `{recipe}`" + (f", over {', '.join(grid.fields)}" if grid.fields else "") + ". "
        f"{len(grid.cells)} cells, seeds {', '.join(map(str, grid.seeds))}.",
        "",
        *protocol(grid),
        "",
        "This command goes on with it, and makes what is not run:",
        "",
        "```sh",
        shlex.join(["vizinho", *(word for word in sys.argv[1:] if word != "--report-only")]),
        "```",
    ]
    return title, lines


def _show(grid: Grid, found: list[Score], folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from vizinho.train.sweep.summary import best, markdown, ranked_by

    top, (metric, name) = best(found), ranked_by(found)
    files = {name: str(folder / name) for name in FILES if (folder / name).exists()}
    if as_json:
        print_json(
            {
                "files": files,
                "best": None if top is None else {**top.cell.values, metric: top.mean(metric)},
                "cells": [
                    {
                        "cell": dict(score.cell.values),
                        "state": score.state,
                        "runs": [asdict(run) for run in score.runs],
                    }
                    for score in found
                ],
            }
        )
        return
    console = out()
    console.print(markdown(grid, found), markup=False, highlight=False, soft_wrap=True)
    if top is not None:
        console.print(
            f"\nBest {name}: {top.text(metric)} % ({top.cell.label or 'the recipe'})",
            markup=False,
            highlight=False,
        )
    console.print("Files: " + ", ".join(files.values()), markup=False, highlight=False)
