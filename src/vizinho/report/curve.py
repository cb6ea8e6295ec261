"""Curves: a training epoch by epoch, a measurement over k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vizinho.evaluate import EvaluationResult
from vizinho.report.fonts import drawable

LOSS_COLOUR = "#b45309"
TOP_1_COLOUR = "#1d4ed8"


class Epoch(Protocol):
    """What the curve needs of an epoch's record."""

    @property
    def epoch(self) -> int:
        """1 for the first."""

    @property
    def loss(self) -> float:
        """Mean over the epoch."""

    @property
    def precision_at_1(self) -> float | None:
        """0..1 on held-out images; None where it was not measured."""


def plot_curve(records: Sequence[Epoch], path: Path) -> None:
    """Draw the records as a PNG at ``path``; its folder must exist. Raises ``OSError``.

    The panel of Top-1 is left out when no epoch has one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    measured = [
        (record.epoch, record.precision_at_1)
        for record in records
        if record.precision_at_1 is not None
    ]
    panels = 2 if measured else 1
    figure = Figure(figsize=(7, 2.6 * panels + 0.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    epochs = [record.epoch for record in records]
    # One epoch is a point; a line through it would show nothing.
    axes[0].plot(
        epochs, [record.loss for record in records], color=LOSS_COLOUR, marker="o", markersize=3
    )
    axes[0].set_ylabel("loss")
    if measured:
        where, values = zip(*measured, strict=True)
        axes[1].plot(where, values, color=TOP_1_COLOUR, marker="o", markersize=3)
        axes[1].set_ylabel("Top-1, held out")
        axes[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        low, high = axes[1].get_ylim()
        axes[1].set_ylim(max(low, 0.0), min(high, 1.0 + 0.05 * (1.0 - low)))
        axes[1].annotate(
            f"{values[-1]:.2%}",
            (where[-1], values[-1]),
            xytext=(0, -14),
            textcoords="offset points",
            ha="right",
            color=TOP_1_COLOUR,
        )
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, format="png")


def plot_at_k(results: Mapping[str, EvaluationResult], path: Path) -> None:
    """Precision and recall over k, one colour a model, as a PNG at ``path``. Raises ``OSError``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, result) in enumerate(results.items()):
        ks = [point.k for point in result.curve]
        colour = (TOP_1_COLOUR, LOSS_COLOUR, "#00875f", "#6b6b6b")[place % 4]
        called = f" ({drawable(name, place + 1)})" if len(results) > 1 else ""
        recall = [point.recall for point in result.curve]
        precision = [point.precision for point in result.curve]
        axes.plot(ks, recall, "o--", color=colour, markersize=3, label=f"recall@k{called}")
        axes.plot(ks, precision, "o-", color=colour, markersize=3, label=f"precision@k{called}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.set_xlabel("k nearest")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, format="png")
