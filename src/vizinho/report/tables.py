"""A measurement's figures as tables: metrics, class by class, who is taken for whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from vizinho.evaluate import BundleEvaluation
from vizinho.evaluate.bundles import NEIGHBOURS
from vizinho.evaluate.intervals import Interval
from vizinho.report.document import Block, Either, Paragraph, Table

EXPLAINED = {
    "Top-1": "pictures whose nearest other picture is of their class (precision_at_1)",
    "R-precision": "right ones among the R nearest, R being how many right ones there are",
    "MAP@R": "the same, right ones counting more that come early (mean_average_precision_at_r)",
    "MRR": "mean of 1 / rank of the first right picture",
    "Recall@k": "pictures with a right one among the k nearest",
    "kNN": "pictures named rightly by the majority of their nearest ones of another set",
}
#: Classes up to which all are listed, and up to which the matrix is shown.
LISTED = 60
MATRIX = 24
#: Rows that stand for the rest.
CUT = 30


def metric_rows(evaluation: BundleEvaluation) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of every metric, as a person reads them."""
    result, intervals = evaluation.result, evaluation.result.intervals
    rows = [
        ("Top-1", percent(result.precision_at_1), between(intervals["precision_at_1"])),
        ("R-precision", percent(result.r_precision), between(intervals["r_precision"])),
        (
            "MAP@R",
            percent(result.mean_average_precision_at_r),
            between(intervals["mean_average_precision_at_r"]),
        ),
        (
            "MRR",
            "-"
            if math.isnan(result.mean_reciprocal_rank)
            else f"{result.mean_reciprocal_rank:.4f}",
            between(intervals["mean_reciprocal_rank"], share=False),
        ),
        *(
            (f"Recall@{k}", percent(value), between(intervals[f"recall_at_{k}"]))
            for k, value in result.recall_at.items()
        ),
    ]
    if evaluation.knn_accuracy is not None and evaluation.knn_interval is not None:
        name = f"kNN (k = {NEIGHBOURS}) from {evaluation.against}"
        rows.append((name, percent(evaluation.knn_accuracy), between(evaluation.knn_interval)))
    return rows


def class_rows(evaluation: BundleEvaluation) -> list[tuple[str, str, str, str, str]]:
    """For each class: name, queries, Top-1, its interval, what its pictures are mostly taken for.

    A class of one picture has no query.
    """
    result = evaluation.result
    rows = []
    for name, score in result.per_class.items():
        answers = result.confusion[name]
        queries = sum(answers.values())
        others = {other: n for other, n in answers.items() if other != name}
        worst = max(others, key=others.__getitem__, default=None)
        mistaken = "" if worst is None else f"{worst} ({percent(others[worst] / queries)})"
        interval = between(result.per_class_intervals[name])
        rows.append((name, f"{queries:,}", percent(score), interval, mistaken))
    return rows


def metrics_table(evaluation: BundleEvaluation, beside: Sequence[BundleEvaluation]) -> list[Block]:
    """Figures with intervals, one pair of columns a model, and what each means."""
    models = [evaluation, *beside]
    found = [{name: rest for name, *rest in metric_rows(each)} for each in models]
    columns = ["metric"]
    for each in models:
        columns += [each.info.name, "95 % interval"]
    names = [name for name, *_ in metric_rows(evaluation)]
    rows = [
        [name, *(cell for each in found for cell in each.get(name, ["-", ""]))] for name in names
    ]
    meant = "; ".join(
        f"{name}: {text}"
        for name, text in EXPLAINED.items()
        if name != "kNN" or evaluation.knn_accuracy is not None
    )
    return [Table(columns, rows), Paragraph(f"{meant}.")]


def class_table(evaluation: BundleEvaluation) -> list[Block]:
    """Class by class with bars; of many classes the worst."""
    rows = class_rows(evaluation)
    blocks: list[Block] = []
    scores = evaluation.result.per_class
    if len(rows) > LISTED:
        asked = [row for row in rows if not math.isnan(scores[row[0]])]
        rows = sorted(asked, key=lambda row: scores[row[0]])[:CUT]
        blocks.append(
            Paragraph(
                f"The {len(rows)} worst of {len(scores):,} classes; vizinho eval --json has all."
            )
        )
    columns = ("class", "queries", "Top-1", "95 % interval", "mostly mistaken for")
    lines = []
    for name, queries, score, interval, mistaken in rows:
        wide = 0.0 if math.isnan(scores[name]) else 100 * scores[name]
        lines.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="right">{queries}</td>'
            f'<td class="right">{score}</td><td class="bar"><span style="width:{wide:.1f}%"></span>'
            f'</td><td class="right">{interval}</td>'
            f'<td class="mistaken">{escape(mistaken)}</td></tr>'
        )
    html = (
        '<div class="wide" tabindex="0"><table>\n<thead><tr><th>class</th><th class="right">queries'
        '</th><th class="right" colspan="2">Top-1</th><th class="right">95 % interval</th>'
        "<th>mostly mistaken for</th></tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )
    return [*blocks, Either(html, [Table(columns, rows)])]


def confusion_table(evaluation: BundleEvaluation) -> list[Block]:
    """Who is the nearest one of whom: a matrix, or of many classes the most frequent mistakes."""
    confusion = evaluation.result.confusion
    if not any(confusion.values()):
        return [Paragraph("No class has two pictures, so that no picture has a right answer.")]
    if len(confusion) > MATRIX:
        return _frequent_mistakes(evaluation)
    names = list(confusion)
    shares = {
        name: {other: n / sum(found.values()) for other, n in found.items()}
        for name, found in confusion.items()
    }
    largest = max(
        (share for name in names for other, share in shares[name].items() if other != name),
        default=1.0,
    )
    heads = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    lines = []
    for name in names:
        cells = "".join(
            _cell(shares[name].get(other, 0.0), other == name, largest) for other in names
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    html = (
        '<div class="wide" tabindex="0"><table class="confusion">\n'
        f'<thead><tr><th scope="col">query \\ nearest</th>{heads}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )
    plain = Table(
        ("query \\ nearest", *names),
        [[name, *(_share(shares[name].get(other, 0.0)) for other in names)] for name in names],
    )
    text = (
        "A row is the class of the query, a column the class of its nearest other picture; the "
        "figures are percent of the row. Mistakes are shaded by how frequent they are among "
        "mistakes."
    )
    return [Paragraph(text), Either(html, [plain])]


def percent(value: float) -> str:
    """0.91234 -> "91.23 %"; "-" where there is nothing to measure."""
    return "-" if math.isnan(value) else f"{value:.2%}".replace("%", " %")


def between(interval: Interval, *, share: bool = True) -> str:
    """(0.9138, 0.9245) -> "91.38 to 92.45 %"; nothing where there is nothing."""
    low, high = interval
    if math.isnan(low):
        return ""
    return f"{100 * low:.2f} to {100 * high:.2f} %" if share else f"{low:.4f} to {high:.4f}"


def _frequent_mistakes(evaluation: BundleEvaluation) -> list[Block]:
    mistakes = [
        (n, name, other, sum(found.values()))
        for name, found in evaluation.result.confusion.items()
        for other, n in found.items()
        if other != name
    ]
    mistakes.sort(key=lambda each: (-each[0], -each[0] / each[3]))
    text = (
        f"The most frequent of {len(mistakes):,} pairs among "
        f"{len(evaluation.result.confusion):,} classes; vizinho eval --json has all."
    )
    rows = [
        (name, other, f"{n:,}", percent(n / queries)) for n, name, other, queries in mistakes[:CUT]
    ]
    columns = ("query", "nearest", "times", "of the class")
    return [Paragraph(text), Table(columns, rows, texts=True)]


def _cell(share: float, own: bool, largest: float) -> str:
    # The square root lets rare mistakes be seen beside frequent ones; more than .55 of the colour
    # would leave the figure too little contrast.
    shade = share if own else math.sqrt(share / largest)
    kind = "own" if own else "other"
    return f'<td class="{kind}" style="--share:{0.55 * shade:.2f}">{_share(share)}</td>'


def _share(share: float) -> str:
    return "" if share == 0 else f"{100 * share:.1f}"
