"""Figures a person can look at: training curves, contact sheets, a bundle's report."""

from __future__ import annotations

from vizinho.report.curve import plot_curve
from vizinho.report.page import class_rows, metric_rows, write_report
from vizinho.report.sheet import choose_queries, contact_sheet

__all__ = [
    "choose_queries",
    "class_rows",
    "contact_sheet",
    "metric_rows",
    "plot_curve",
    "write_report",
]
