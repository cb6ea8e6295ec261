"""A bundle's report: what it achieves, where it fails, how it was made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vizinho.evaluate import BundleEvaluation
from vizinho.evaluate.bundles import NEIGHBOURS
from vizinho.report.curve import plot_curve
from vizinho.report.document import Block, Heading, Paragraph, Picture, Table, to_html, to_markdown
from vizinho.report.sheet import choose_queries, contact_sheet

EXPLAINED = {
    "Top-1": "share of pictures whose nearest other picture is of their class (precision_at_1)",
    "R-precision": "share of right ones among the R nearest, R being how many right ones there are",
    "MAP@R": "the same, counting the right ones that come early more (mean_average_precision_at_r)",
    "MRR": "mean of 1 / rank of the first right picture",
    "Recall@k": "share of pictures with a right one among the k nearest",
    "kNN": "share named rightly by the majority of their nearest training pictures",
}


def metric_rows(evaluation: BundleEvaluation) -> list[tuple[str, str]]:
    """Name and value of every metric, as a person reads them."""
    result = evaluation.result
    low, high = result.precision_at_1_interval
    rows = [
        ("Top-1", percent(result.precision_at_1)),
        ("  95 % interval", f"{percent(low)} to {percent(high)}"),
        ("R-precision", percent(result.r_precision)),
        ("MAP@R", percent(result.mean_average_precision_at_r)),
        ("MRR", f"{result.mean_reciprocal_rank:.4f}"),
        *((f"Recall@{k}", percent(value)) for k, value in result.recall_at.items()),
    ]
    if evaluation.knn_accuracy is not None:
        name = f"kNN (k = {NEIGHBOURS}) from {evaluation.against}"
        rows.append((name, percent(evaluation.knn_accuracy)))
    return rows


def class_rows(evaluation: BundleEvaluation) -> list[tuple[str, str, str, str]]:
    """For each class: name, pictures, Top-1, the class its pictures are mostly mistaken for."""
    labels, classes = evaluation.dataset.labels, evaluation.dataset.classes
    taken_for = labels[evaluation.neighbours[:, 0]]
    rows = []
    for label in np.unique(labels).tolist():
        members = labels == label
        answers = np.bincount(taken_for[members], minlength=len(classes))
        answers[label] = 0
        other = int(answers.argmax())
        share = answers[other] / members.sum()
        mistaken = f"{classes[other]} ({percent(share)})" if share > 0 else ""
        score = evaluation.result.per_class[classes[label]]
        rows.append((classes[label], f"{members.sum():,}", percent(score), mistaken))
    return rows


def write_report(
    evaluation: BundleEvaluation, folder: Path, *, beside: Sequence[BundleEvaluation] = ()
) -> Path:
    """Write ``report.md``, ``report.html`` (self-contained) and their pictures into ``folder``.

    ``beside`` are other bundles on the same data set, shown as further columns. Returns the path
    of the HTML page. Raises ``OSError``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheet = folder / "sheet.png"
    contact_sheet(evaluation, choose_queries(evaluation)).save(sheet, format="PNG")
    blocks = [
        Heading(f"{evaluation.info.name} on {evaluation.dataset.name}", level=1),
        *_summary(evaluation, beside),
        Heading("Class by class"),
        Table(("class", "pictures", "Top-1", "mostly mistaken for"), class_rows(evaluation)),
        Heading("What it finds"),
        Paragraph(
            "Each row is a query and its nearest pictures, the distance under them: right ones "
            "framed green, wrong ones red. The good ones were picked as such, one of each class as "
            "far as there is room; the random ones by chance; the worst have the fewest right "
            "neighbours and the nearest wrong one."
        ),
        Picture(sheet, "Queries with their nearest pictures, framed green and red."),
        *_provenance(evaluation, folder),
    ]
    (folder / "report.md").write_text(to_markdown(blocks), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(to_html(blocks), encoding="utf-8")
    return page


def percent(value: float) -> str:
    """0.91234 -> "91.23 %"; "-" where there is nothing to measure."""
    return "-" if math.isnan(value) else f"{value:.2%}".replace("%", " %")


def _summary(evaluation: BundleEvaluation, beside: Sequence[BundleEvaluation]) -> list[Block]:
    result = evaluation.result
    models = [evaluation, *beside]
    names = [name for name, _ in metric_rows(evaluation)]
    values = [dict(metric_rows(each)) for each in models]
    skipped = f" {len(evaluation.skipped)} unreadable ones were left out." * bool(
        evaluation.skipped
    )
    machine = ", ".join(f"{name} {version}" for name, version in evaluation.machine.items())
    return [
        Table(
            ("metric", *(each.info.name for each in models)),
            [(name.strip(), *(found.get(name, "-") for found in values)) for name in names],
        ),
        Paragraph(
            f"n = {result.queries:,} queries among {result.references:,} pictures, leave-one-out, "
            f"Euclidean distance of {result.dimension} numbers.{skipped} The interval is a "
            "bootstrap over queries."
        ),
        Paragraph(
            "; ".join(
                f"{name}: {text}"
                for name, text in EXPLAINED.items()
                if name != "kNN" or evaluation.knn_accuracy is not None
            )
            + "."
        ),
        Paragraph(
            f"Measured on {evaluation.date}: {machine}; {evaluation.images_per_second:,.0f} "
            "pictures embedded a second on one thread, decoding not counted."
        ),
    ]


def _provenance(evaluation: BundleEvaluation, folder: Path) -> list[Block]:
    training = dict(evaluation.info.training)
    epochs = training.pop("epochs", None)
    blocks: list[Block] = [Heading("How it was made")]
    if _is_history(epochs):
        curve = folder / "curve.png"
        plot_curve([SimpleNamespace(**epoch) for epoch in epochs], curve)
        blocks.append(Picture(curve, "Loss and Top-1 on held-out pictures, epoch by epoch."))
    recipe = training.pop("recipe", None)
    info = evaluation.info
    facts = {
        "fingerprint": info.fingerprint,
        "preprocessing": info.preprocess.to_dict(),
        "normalised": info.normalised,
        **training,
    }
    blocks.append(_facts(facts))
    if isinstance(recipe, Mapping):
        blocks += [Heading("Recipe"), _facts(recipe)]
    return blocks


def _is_history(epochs: Any) -> bool:
    return (
        isinstance(epochs, list)
        and len(epochs) > 0
        and all({"epoch", "loss", "precision_at_1"} <= set(epoch) for epoch in epochs)
    )


def _facts(facts: Mapping[str, Any]) -> Table:
    rows = [(name.replace("_", " "), _plain(value)) for name, value in facts.items()]
    return Table(("", ""), rows, texts=True)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
