"""Figures a person can look at: curves, contact sheets, a map, a bundle's report."""

from __future__ import annotations

from vizinho.report.curve import plot_curve
from vizinho.report.page import write_report
from vizinho.report.sheet import choose_queries, contact_sheet
from vizinho.report.tables import class_rows, metric_rows

__all__ = [
    "choose_queries",
    "class_rows",
    "contact_sheet",
    "metric_rows",
    "plot_curve",
    "write_report",
]
