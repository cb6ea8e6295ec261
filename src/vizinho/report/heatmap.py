"""A sweep as pictures: what each cell of its grid reached, and every run epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOT_RUN: Final = "#eeeeee"
LOST: Final = "#d97706"

#: From light to dark, so that a darker cell is a better one.
COLOURS: Final = "Blues"

#: More names than this would be a wall; the table has them.
LEGEND_MOST: Final = 30


@dataclass(frozen=True)
class HeatCell:
    """``value`` and ``spread`` 0..1 or None; ``state``: ok, collapsed, diverged or not run."""

    value: float | None
    spread: float | None = None
    state: str = "ok"
    note: str = ""

    @property
    def text(self) -> str:
        """What is written into the cell, in per cent."""
        figure = "" if self.value is None else f"{100 * self.value:.2f}"
        if figure and self.spread is not None:
            figure += f"\n± {100 * self.spread:.2f}"
        state = "" if self.state == "ok" else self.state
        return "\n".join(filter(None, (figure, state, self.note)))


@dataclass(frozen=True)
class Panel:
    """One square of cells by (row, column); a place without a cell stays empty."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], HeatCell]


@dataclass(frozen=True)
class Curve:
    """A run: one value (0..1, or None) and one loss for each of its epochs."""

    label: str
    epochs: Sequence[int]
    values: Sequence[float | None]
    losses: Sequence[float]
    outcome: str = "ok"


def plot_heatmap(
    panels: Sequence[Panel], path: Path, *, row_name: str, column_name: str, metric: str
) -> None:
    """Draw the panels side by side as a PNG at ``path``. Raises ``OSError``."""
    figure = heatmap_figure(panels, row_name=row_name, column_name=column_name, metric=metric)
    figure.savefig(path, format="png")


def heatmap_figure(
    panels: Sequence[Panel], *, row_name: str, column_name: str, metric: str
) -> Figure:
    """The figure itself. Colours span the good cells, so that a collapse doesn't pale the rest.

    Collapsed and diverged cells are hatched, those not run are grey; both say so.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import PercentFormatter

    across = max((len(panel.columns) for panel in panels), default=1)
    down = max((len(panel.rows) for panel in panels), default=1)
    longest = max((len(row) for panel in panels for row in panel.rows), default=1)
    width = len(panels) * (1.05 * across + 0.3) + 0.085 * longest + 1.9
    figure = _figure((max(4.0, width), 0.62 * down + 1.4))
    good = [
        cell.value
        for panel in panels
        for cell in panel.cells.values()
        if cell.value is not None and cell.state == "ok"
    ]
    low, high = (min(good), max(good)) if good else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.005, high + 0.005
    # The palest tenth is too near to the grey of cells that weren't run.
    norm = Normalize(low - 0.15 * (high - low), high)
    colours = colormaps[COLOURS]
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        for (row, column), cell in panel.cells.items():
            fine = cell.value is not None and cell.state == "ok"
            shade = float(norm(cell.value)) if fine and cell.value is not None else None
            place = panel.columns.index(column), panel.rows.index(row)
            _draw_cell(axis, place, cell, colours(shade) if shade is not None else NOT_RUN, shade)
        axis.set(xlim=(0, len(panel.columns)), ylim=(len(panel.rows), 0), title=panel.title)
        axis.set_xticks([i + 0.5 for i in range(len(panel.columns))], panel.columns)
        axis.set_yticks([i + 0.5 for i in range(len(panel.rows))], panel.rows)
        axis.set_xlabel(column_name)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel(row_name)
    if good:
        bar = figure.colorbar(
            ScalarMappable(norm, colours), ax=list(axes), label=metric, fraction=0.05
        )
        bar.ax.set_ylim(low, high)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _draw_cell(
    axis: Axes, place: tuple[int, int], cell: HeatCell, colour: Any, shade: float | None
) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(Rectangle(place, 1, 1, facecolor=colour, edgecolor="white", lw=2))
    lost = cell.state in ("collapsed", "diverged")
    if lost:
        axis.add_patch(Rectangle(place, 1, 1, fill=False, hatch="///", edgecolor=LOST, lw=0))
    axis.text(
        place[0] + 0.5,
        place[1] + 0.5,
        cell.text,
        ha="center",
        va="center",
        fontsize=8,
        color="white" if shade is not None and shade > 0.6 else "black",
        bbox={"facecolor": NOT_RUN, "lw": 0, "pad": 1} if lost else None,
    )


def plot_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw every run's Top-1 (its loss where none was measured) by epoch. Raises ``OSError``."""
    curves_figure(curves).savefig(path, format="png")


def curves_figure(curves: Sequence[Curve]) -> Figure:
    """The figure itself: one colour for each label, a cross where a run collapsed or diverged."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    labels = list(dict.fromkeys(curve.label for curve in curves))
    few = len(labels) <= 10
    legend = len(labels) <= LEGEND_MOST
    figure = _figure((9.0 if legend else 7.0, max(4.2, 0.2 * len(labels)) if legend else 4.2))
    axis = figure.subplots()
    palette = colormaps["tab10" if few else "turbo"]
    measured = any(value is not None for curve in curves for value in curve.values)
    named: set[str] = set()
    for curve in curves:
        place = labels.index(curve.label)
        values = curve.values if measured else curve.losses
        points = [
            (epoch, value)
            for epoch, value in zip(curve.epochs, values, strict=True)
            if value is not None
        ]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        axis.plot(
            x,
            y,
            color=palette(place if few else place / (len(labels) - 1)),
            lw=1.2,
            marker="o",
            markersize=2.5,
            label=None if curve.label in named else curve.label,
        )
        named.add(curve.label)
        if curve.outcome != "ok":
            axis.plot(x[-1], y[-1], color=LOST, marker="x", markersize=8, mew=2)
    axis.set(xlabel="epoch", ylabel="Top-1, held out" if measured else "loss")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if measured:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if named and legend:
        figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
