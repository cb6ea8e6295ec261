"""A bundle's report: what it achieves, where it fails, how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vizinho.evaluate import BundleEvaluation
from vizinho.progress import Progress
from vizinho.report.curve import plot_at_k, plot_curve
from vizinho.report.document import (
    Block,
    Either,
    Heading,
    Paragraph,
    Picture,
    Table,
    to_html,
    to_markdown,
)
from vizinho.report.embedding_map import make_map, map_html, plot_map
from vizinho.report.sheet import choose_queries, contact_sheet
from vizinho.report.tables import class_table, confusion_table, metrics_table
from vizinho.report.tiles import group_texts, sheet_html
from vizinho.report.trust import Trust, trust_blocks

#: Fewer points than this are no map.
LEAST_POINTS = 3


def write_report(
    evaluation: BundleEvaluation,
    folder: Path,
    *,
    beside: Sequence[BundleEvaluation] = (),
    curve: Path | None = None,
    trust: Trust | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write ``report.md``, ``report.html`` (self-contained) and their pictures into ``folder``.

    ``beside`` are other bundles on the same data set, shown as further columns. ``curve`` is a PNG
    of the training, used where the bundle has no history of its own. ``trust`` is what was
    measured of its calibration. ``progress`` counts the
    map's thumbnails. Returns the path of the HTML page. Raises ``OSError``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [
        Heading(f"{evaluation.info.name} on {evaluation.dataset.name}", level=1),
        *metrics_table(evaluation, beside),
        *_protocol(evaluation),
        *_over_k(evaluation, beside, folder),
        *(trust_blocks(trust, folder) if trust is not None else ()),
        Heading("Class by class"),
        *class_table(evaluation),
        Heading("Who is taken for whom"),
        *confusion_table(evaluation),
        *_map(evaluation, folder, progress),
        *_sheets(evaluation, folder),
        *_provenance(evaluation, folder, curve),
    ]
    (folder / "report.md").write_text(to_markdown(blocks), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(to_html(blocks), encoding="utf-8")
    return page


def _protocol(evaluation: BundleEvaluation) -> list[Block]:
    result = evaluation.result
    machine = ", ".join(f"{name} {version}" for name, version in evaluation.machine.items())
    skipped = len(evaluation.skipped)
    left_out = f" {skipped:,} unreadable pictures were left out." if skipped else ""
    return [
        Paragraph(
            f"n = {result.queries:,} queries among {result.references:,} pictures, leave-one-out, "
            f"Euclidean distance of {result.dimension} numbers.{left_out} The intervals are a "
            "bootstrap over queries, each with its neighbours as they are: how far a figure would "
            "move with other queries of the same kind, not with another training or other "
            "references."
        ),
        Paragraph(
            f"Measured on {evaluation.date}: {machine}; {evaluation.images_per_second:,.0f} "
            "pictures embedded a second, decoding not counted."
        ),
    ]


def _over_k(
    evaluation: BundleEvaluation, beside: Sequence[BundleEvaluation], folder: Path
) -> list[Block]:
    if not evaluation.result.curve:
        return []
    picture = folder / "at-k.png"
    plot_at_k({each.info.name: each.result for each in (evaluation, *beside)}, picture)
    first, last = evaluation.result.curve[0], evaluation.result.curve[-1]
    alt = (
        f"Precision and recall over k: precision from {first.precision:.1%} at 1 to "
        f"{last.precision:.1%} at {last.k}, recall from {first.recall:.1%} to {last.recall:.1%}."
    ).replace("%", " %")
    text = (
        "Precision@k is the mean share of right ones among the k nearest, recall@k the share of "
        "queries with at least one right one among them."
    )
    return [Heading("From the nearest to the k nearest"), Picture(picture, alt), Paragraph(text)]


def _map(evaluation: BundleEvaluation, folder: Path, progress: Progress | None) -> list[Block]:
    if len(evaluation.dataset) < LEAST_POINTS:
        return []
    shown = make_map(evaluation)
    picture = folder / "map.png"
    plot_map(shown, picture)
    still = Picture(picture, "The embeddings on a plane, a mark for each picture.")
    return [
        Heading("Map of the embeddings"),
        Paragraph(shown.sentence()),
        Either(
            map_html(shown, progress),
            [still, Paragraph("report.html has it with the pictures, to move and zoom.")],
        ),
    ]


def _sheets(evaluation: BundleEvaluation, folder: Path) -> list[Block]:
    groups = {name: found for name, found in choose_queries(evaluation).items() if len(found)}
    if not groups:
        return []
    sheet = folder / "sheet.png"
    contact_sheet(evaluation, groups).save(sheet, format="PNG")
    texts = group_texts(groups)
    parts = [
        f"<h3>{escape(name)}</h3>\n<p>{escape(texts[name])}</p>\n{sheet_html(evaluation, found)}"
        for name, found in groups.items()
    ]
    told = Paragraph(" ".join(f"{name}: {text}" for name, text in texts.items()))
    still = Picture(sheet, "Queries with their nearest pictures, framed green and red.")
    return [
        Heading("What it finds"),
        Paragraph(
            "A query and its nearest pictures, the distance under each; a wrong one has a red "
            "double frame and its class below."
        ),
        Either("\n".join(parts), [told, still]),
    ]


def _provenance(evaluation: BundleEvaluation, folder: Path, curve: Path | None) -> list[Block]:
    training = dict(evaluation.info.training)
    epochs = training.pop("epochs", None)
    blocks: list[Block] = [Heading("How it was made")]
    picture = folder / "curve.png"
    if _is_history(epochs):
        plot_curve([SimpleNamespace(**epoch) for epoch in epochs], picture)
        blocks.append(Picture(picture, "Loss and Top-1 on held-out pictures, epoch by epoch."))
    elif curve is not None and curve.is_file():
        shutil.copyfile(curve, picture)
        blocks.append(Picture(picture, "Loss and Top-1 of the training, epoch by epoch."))
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
    return Table(("what", "value"), rows, texts=True)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
