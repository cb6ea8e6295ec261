"""What the rows of a sweep say: a mean and a spread for each cell, a Markdown table, pictures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vizinho.report.heatmap import Curve, HeatCell, Panel, plot_curves, plot_heatmap
from vizinho.train.sweep.epochs import read_epochs
from vizinho.train.sweep.grid import Cell, Grid, show
from vizinho.train.sweep.ledger import Ledger, Run

#: What a cell may be ranked by, the best measure first: column, and how it is called.
METRICS = (("top_1_test", "Top-1, test"), ("top_1_held_out", "Top-1, held out"))


@dataclass(frozen=True)
class Score:
    """A cell with its finished runs, at most one for each seed; ``wanted`` is how many."""

    cell: Cell
    runs: tuple[Run, ...]
    wanted: int

    @property
    def good(self) -> tuple[Run, ...]:
        """The runs that neither collapsed nor diverged."""
        return tuple(run for run in self.runs if run.outcome == "ok")

    @property
    def state(self) -> str:
        """ok when some run is, else collapsed or diverged, or not run."""
        if self.good:
            return "ok"
        return self.runs[0].outcome if self.runs else "not run"

    def values(self, metric: str) -> list[float]:
        """A metric of the good runs, or of the others where none is good."""
        found = [getattr(run, metric) for run in self.good or self.runs]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """None where it was not measured."""
        values = self.values(metric)
        return statistics.fmean(values) if values else None

    def spread(self, metric: str) -> float | None:
        """Standard deviation between seeds (of a sample: n - 1); None for fewer than two runs."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def text(self, metric: str) -> str:
        """As "87.49 ± 0.12", with a word where all runs collapsed or none was made."""
        mean, spread = self.mean(metric), self.spread(metric)
        if mean is None:
            return self.state if self.state != "ok" else ""
        told = f"{100 * mean:.2f}" + (f" ± {100 * spread:.2f}" if spread is not None else "")
        return told if self.state == "ok" else f"{told} ({self.state})"

    @property
    def count(self) -> str:
        """How many runs the figures are of: "3", "1 of 3", "2, 1 collapsed"."""
        lost = [
            f"{sum(run.outcome == what for run in self.runs)} {what}"
            for what in ("collapsed", "diverged")
            if any(run.outcome == what for run in self.runs)
        ]
        missing = len(self.runs) < self.wanted
        count = f"{len(self.good)} of {self.wanted}" if missing else str(len(self.good))
        return ", ".join([count, *lost])


def scores(grid: Grid, ledger: Ledger) -> list[Score]:
    """Every cell of the grid with its rows."""
    found = []
    for cell in grid.cells:
        runs = [ledger.find(recipe, None) for recipe in grid.recipes([cell])]
        found.append(Score(cell, tuple(run for run in runs if run), len(grid.seeds)))
    return found


def ranked_by(found: Sequence[Score]) -> tuple[str, str]:
    """The metric that was measured, and its name."""
    for metric, name in METRICS:
        if any(score.mean(metric) is not None for score in found):
            return metric, name
    return METRICS[0]


def best(found: Sequence[Score], metric: str | None = None) -> Score | None:
    """The cell with the highest mean among those that have a good run.

    ``metric``: by default what the sweep is ranked by.
    """
    metric = metric or ranked_by(found)[0]
    good = [score for score in found if score.state == "ok" and score.mean(metric) is not None]
    return max(good, key=lambda score: score.mean(metric) or 0.0, default=None)


def markdown(grid: Grid, found: Sequence[Score]) -> str:
    """The cells as a list, and before it, where two axes or more span them, as a square table."""
    shown = [
        (metric, name)
        for metric, name in (*METRICS, ("map_at_r", "MAP@R"))
        if any(score.mean(metric) is not None for score in found)
    ]
    tops = {metric: best(found, metric) for metric, _ in shown}
    rows = [
        [
            *(show(score.cell.values[field]) for field in grid.fields),
            *(_strong(score.text(metric), score is tops[metric]) for metric, _ in shown),
            score.count,
            _minutes(score),
        ]
        for score in found
    ]
    heads = [*grid.fields, *(f"{name}, %" for _, name in shown), "runs", "minutes a run"]
    parts = [table(heads, rows)]
    if len(grid.spans) > 1:
        parts.insert(0, f"{ranked_by(found)[1]}, in %:\n\n{square(grid, found)}")
    return "\n\n".join(parts)


def square(grid: Grid, found: Sequence[Score]) -> str:
    """A Markdown table with the last axis across and all others down; the best in bold."""
    *down, across = grid.spans
    metric, _ = ranked_by(found)
    top = best(found)
    lines: dict[tuple[object, ...], list[str]] = {}
    for score in found:
        line = lines.setdefault(_place(score.cell, down), [])
        line.append(_strong(score.text(metric), score is top))
    heads = [*down, *(f"{across} {show(value)}" for value in grid.axes[across])]
    return table(heads, [[*map(show, place), *cells] for place, cells in lines.items()])


def write(
    grid: Grid, ledger: Ledger, folder: Path, *, title: str, preface: Sequence[str] = ()
) -> list[Score]:
    """``table.md``, ``heatmap.png`` and ``curves.png`` in ``folder``; raises ``OSError``."""
    found = scores(grid, ledger)
    runs = [run for score in found for run in score.runs]
    text = [f"# {title}", "", *preface, "", markdown(grid, found), "", *notes(runs), ""]
    (folder / "table.md").write_text("\n".join(text), "utf-8")
    panels, row_name, column_name = heat_panels(grid, found)
    plot_heatmap(
        panels,
        folder / "heatmap.png",
        row_name=row_name,
        column_name=column_name,
        metric=ranked_by(found)[1],
    )
    drawn = [
        Curve(
            label=score.cell.label or "the recipe",
            epochs=[record.epoch for record in records],
            values=[record.precision_at_1 for record in records],
            losses=[record.loss for record in records],
            outcome=run.outcome,
        )
        for score in found
        for run in score.runs
        if (records := read_epochs(folder / "runs" / run.key))
    ]
    if drawn:
        plot_curves(drawn, folder / "curves.png")
    return found


def notes(runs: Sequence[Run]) -> list[str]:
    """What the figures were measured on, and how, as a list of sentences."""
    if not runs:
        return []

    def each(value: Callable[[Run], object]) -> str:
        return ", ".join(dict.fromkeys(str(value(run)) for run in runs if value(run)))

    hours = sum(run.seconds for run in runs) / 3600
    core_hours = sum(run.cpu_seconds for run in runs) / 3600
    lines = [
        f"- {len(runs)} runs on {each(lambda run: run.data)}: {hours:.1f} hours of training, "
        f"{core_hours:.1f} hours of processor time; {each(lambda run: run.precision)}, "
        f"{each(lambda run: run.threads)} threads a run, on {each(lambda run: run.hardware)}.",
        "- Top-1 is leave-one-out: the nearest other picture by Euclidean distance, exact. ± is "
        "the standard deviation between seeds.",
    ]
    if tests := each(lambda run: run.test):
        lines.append(f"- Test is {tests}, measured when a run had ended and never to choose.")
    if any(run.outcome != "ok" for run in runs):
        lines.append(
            "- Runs that collapsed or diverged are counted and are in no mean; where a cell has "
            "no other run, its figure is that of the network where it stopped."
        )
    if code := each(lambda run: run.commit[:8] + run.commit[40:]):
        lines.append(f"- Code: {code}.")
    return lines


def heat_panels(grid: Grid, found: Sequence[Score]) -> tuple[list[Panel], str, str]:
    """The cells as panels of rows and columns, and what rows and columns are called.

    The last two axes are rows and columns, those of numbers first; all others make panels.
    """
    metric, _ = ranked_by(found)

    def drawn(score: Score) -> HeatCell:
        lost = len(score.runs) - len(score.good)
        note = f"{lost} of {len(score.runs)} lost" if lost and score.good else ""
        return HeatCell(score.mean(metric), score.spread(metric), score.state, note)

    # Names of networks and losses are long, and are panels or rows rather than columns.
    spans = sorted(grid.spans, key=lambda name: isinstance(grid.axes[name][0], int | float))
    if len(spans) < 2:
        labels = [
            show(score.cell.values[spans[0]]) if spans else score.cell.label for score in found
        ]
        cells = {(label, ""): drawn(score) for label, score in zip(labels, found, strict=True)}
        return [Panel("", labels, [""], cells)], spans[0] if spans else "", ""
    *outer, down, across = spans
    panels: dict[tuple[object, ...], dict[tuple[str, str], HeatCell]] = {}
    for score in found:
        values = score.cell.values
        panel = panels.setdefault(_place(score.cell, outer), {})
        panel[show(values[down]), show(values[across])] = drawn(score)
    rows, columns = ([show(value) for value in grid.axes[name]] for name in (down, across))
    titles = {
        place: ", ".join(f"{name} {show(value)}" for name, value in zip(outer, place, strict=True))
        for place in panels
    }
    made = [Panel(titles[place], rows, columns, cells) for place, cells in panels.items()]
    return made, down, across


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    # A bar inside a loss's arguments would end the cell.
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _strong(text: str, best: bool) -> str:
    return f"**{text}**" if best and text else text


def _place(cell: Cell, fields: Sequence[str]) -> tuple[object, ...]:
    return tuple(cell.values[field] for field in fields)


def _minutes(score: Score) -> str:
    seconds = [run.seconds for run in score.good or score.runs]
    return f"{statistics.fmean(seconds) / 60:.1f}" if seconds else ""
