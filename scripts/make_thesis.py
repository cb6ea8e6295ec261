"""Sets the thesis's Table 4.1 beside ours in ``docs/thesis.md``.

``python scripts/make_thesis.py FOLDER`` takes the rows of a sweep (``vizinho sweep ... --table-4-1
--out FOLDER``) over into ``docs/thesis/runs.csv``, redraws the pictures, and rewrites the page
between its markers. Without a folder it rewrites the page from what is in ``docs/thesis`` alone.

The thesis's own figures are in ``docs/thesis/table-4-1.csv``, as far as they are known here.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vizinho.report.heatmap import Curve, plot_curves, plot_heatmap
from vizinho.train.recipes import recipe
from vizinho.train.sweep.epochs import read_epochs
from vizinho.train.sweep.grid import TABLE_4_1, Grid, build, show
from vizinho.train.sweep.ledger import Ledger, Run
from vizinho.train.sweep.summary import heat_panels, notes, ranked_by, scores, table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "thesis.md"
DATA = ROOT / "docs" / "thesis"
PLACE = re.compile(
    r"(<!-- table: made by scripts/make_thesis.py -->\n).*(<!-- end of table -->)", re.S
)
#: What a reader must be told of every variant, the thesis leaving it open.
OPEN = ("epochs", "mining", "distance", "normalise")
CELL = (*TABLE_4_1, "seed")


def variants(ledger: Ledger) -> list[Grid]:
    """One grid of 27 cells for each way in which cells were run, the one with most rows first."""
    found: dict[tuple[tuple[str, Any], ...], set[int]] = {}
    rows: dict[tuple[tuple[str, Any], ...], int] = {}
    usual = recipe("thesis", holdout=0).to_dict()
    for run in ledger.runs:
        if any(run.recipe[field] not in values for field, values in TABLE_4_1.items()):
            continue
        told = {f: v for f, v in run.recipe.items() if f in usual and f not in CELL}
        key = tuple(sorted((f, v) for f, v in told.items() if f in OPEN or v != usual[f]))
        found.setdefault(key, set()).add(run.recipe["seed"])
        rows[key] = rows.get(key, 0) + 1
    return [
        build(
            "thesis",
            axes={**TABLE_4_1, "seed": tuple(sorted(found[key]))},
            told={"holdout": 0, **dict(key)},
        )
        for key in sorted(found, key=lambda key: -rows[key])
    ]


def called(grid: Grid) -> str:
    """What sets a variant apart: "40 epochs, batch-all, squared, not normalised"."""
    told, usual = grid.cells[0].recipe.to_dict(), recipe("thesis", holdout=0).to_dict()
    words = [
        f"{told['epochs']} epochs",
        show(told["mining"]),
        show(told["distance"]),
        "normalised" if told["normalise"] else "not normalised",
    ]
    others = [f for f in told if f not in (*OPEN, *CELL) and told[f] != usual[f]]
    return ", ".join([*words, *(f"{field} {show(told[field])}" for field in others)])


def printed() -> tuple[dict[tuple[str, ...], str], list[Mapping[str, str]]]:
    """The thesis's figures by cell, and those of which the cell isn't known."""
    with (DATA / "table-4-1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    placed = {
        (row["network"], row["dimension"], row["margin"]): row["top_1_percent"]
        for row in rows
        if all(row[field] for field in TABLE_4_1)
    }
    return placed, [row for row in rows if not all(row[field] for field in TABLE_4_1)]


def section(ledger: Ledger) -> str:
    """The generated part of the page."""
    thesis, unplaced = printed()
    grids = variants(ledger)
    measured = [scores(grid, ledger) for grid in grids]
    cells = build("thesis", axes=TABLE_4_1).cells
    rows = []
    for number, cell in enumerate(cells):
        place = tuple(show(value) for value in cell.values.values())
        row = [*place, thesis.get(place) or "not known here"]
        row += [each[number].text(ranked_by(each)[0]) for each in measured] or ["not run"]
        rows.append(row)
    heads = [*TABLE_4_1, "the thesis", *(f"ours: {called(grid)}" for grid in grids)]
    parts = [table(heads if grids else [*heads, "ours"], rows)]
    for row in unplaced:
        where = ", ".join(f"{field} {row[field]}" for field in TABLE_4_1 if row[field])
        figure = f"{row['top_1_percent']} %" + (f" at {where}" if where else "")
        parts.append(f"The thesis also has {figure}: {row['note']}.")
    for number, (grid, found) in enumerate(zip(grids, measured, strict=True), start=1):
        runs: list[Run] = [run for score in found for run in score.runs]
        parts.append(f"### {called(grid).capitalize()}")
        parts.append(f"{len(runs)} of {len(grid.cells) * len(grid.seeds)} runs are made.")
        parts.append("\n".join(notes(runs)))
        if (ROOT / "docs" / "images" / f"thesis-{number}.png").exists():
            parts.append(f"![Top-1 of the cells, {called(grid)}](images/thesis-{number}.png)")
    if (ROOT / "docs" / "images" / "thesis-curves.png").exists() and grids:
        parts.append("![Every run epoch by epoch](images/thesis-curves.png)")
    return "\n\n".join(parts)


def page() -> str:
    """``docs/thesis.md`` as it should be."""
    written = section(Ledger(DATA / "runs.csv"))
    return PLACE.sub(lambda found: f"{found[1]}\n{written}\n\n{found[2]}", PAGE.read_text())


def take(folder: Path) -> None:
    """Takes over a sweep's rows and draws its pictures."""
    shutil.copy(folder / "runs.csv", DATA / "runs.csv")
    ledger = Ledger(DATA / "runs.csv")
    images = ROOT / "docs" / "images"
    for number, grid in enumerate(variants(ledger), start=1):
        found = scores(grid, ledger)
        panels, down, across = heat_panels(grid, found)
        plot_heatmap(
            panels,
            images / f"thesis-{number}.png",
            row_name=down,
            column_name=across,
            metric=ranked_by(found)[1],
        )
    curves = []
    for run in ledger.runs:
        if records := read_epochs(folder / "runs" / run.key):
            told = run.recipe
            label = "/".join(show(told[field]) for field in TABLE_4_1)
            curves.append(
                Curve(
                    f"{label}, {told['epochs']} epochs",
                    [record.epoch for record in records],
                    [record.precision_at_1 for record in records],
                    [record.loss for record in records],
                    run.outcome,
                )
            )
    if curves:
        plot_curves(curves, images / "thesis-curves.png")


def main() -> None:
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]))
    before, after = PAGE.read_text(), page()
    PAGE.write_text(after)
    sys.stdout.write(f"docs/thesis.md: {'as it was' if before == after else 'rewritten'}\n")


if __name__ == "__main__":
    main()
