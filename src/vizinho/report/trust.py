"""How far a model's probabilities are right, and whether it knows what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.calibrate import Calibration
from vizinho.evaluate import BundleEvaluation
from vizinho.evaluate.certainty import Reliability, auroc, false_positives, reliability
from vizinho.evaluate.ranking import ranked
from vizinho.report.curve import LOSS_COLOUR, TOP_1_COLOUR
from vizinho.report.document import Block, Heading, Paragraph, Picture, Table


@dataclass(frozen=True)
class Unknown:
    """Pictures that no picture of the measured set is like: ``per_class`` has the AUROC of each of
    their classes alone, where they have any; ``refused`` is the share told "nothing alike"."""

    name: str
    pictures: int
    auroc: float
    false_positives: float
    refused: float
    per_class: dict[str, float]


@dataclass(frozen=True)
class Trust:
    """A calibration measured on a data set, each picture searched among all others: are the
    probabilities of its first ten results right, and which queries are told from ``unknown``?
    ``refused`` is the share of queries that are told "nothing alike" although their class is there.
    """

    reliability: Reliability
    queries: int
    refused: float
    promised: float
    fitted_on: str
    unknown: tuple[Unknown, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "calibration_error": round(self.reliability.error, 6),
            "results": self.reliability.answers,
            "bins": [
                {"probability": round(chance, 6), "right": round(share, 6), "results": count}
                for chance, share, count in self.reliability.bins
            ],
            "queries": self.queries,
            "refused": round(self.refused, 6),
            "refused_promised": self.promised,
            "fitted_on": self.fitted_on,
            "unknown": {
                each.name: {
                    "pictures": each.pictures,
                    "auroc": round(each.auroc, 6),
                    "fpr_at_95_tpr": round(each.false_positives, 6),
                    "refused": round(each.refused, 6),
                    "auroc_per_class": {k: round(v, 6) for k, v in each.per_class.items()},
                }
                for each in self.unknown
            },
        }


@dataclass(frozen=True)
class Strangers:
    """Embeddings [N, D] of unknown pictures, with the class of each where they have one."""

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()


def measure_trust(
    evaluation: BundleEvaluation, calibration: Calibration, unknown: Mapping[str, Strangers]
) -> Trust:
    """Of a measurement, its neighbours and embeddings, and pictures of other kinds."""
    own, labels = evaluation.embeddings, evaluation.dataset.labels
    near = evaluation.distances.astype(np.float64)
    size = len(own) - 1
    chances = np.stack([calibration.probabilities(row, row, size) for row in near])
    right = labels[evaluation.neighbours] == labels[:, None]
    # A query whose class has no other picture is no genuine one.
    genuine = np.bincount(labels)[labels] > 1
    known = calibration.unlikeness(own, near[:, 0])[genuine]
    cut = calibration.judgement.cut
    return Trust(
        reliability(chances.ravel(), right.ravel()),
        len(own),
        float(np.mean(known > cut)),
        calibration.judgement.refused,
        str(calibration.about.get("data", "")),
        tuple(_unknown(name, each, own, calibration, known) for name, each in unknown.items()),
    )


def _unknown(
    name: str,
    strangers: Strangers,
    own: NDArray[np.float32],
    calibration: Calibration,
    known: NDArray[np.float64],
) -> Unknown:
    nearest = np.empty(len(strangers.embeddings))
    for rows, indices, _ in ranked(strangers.embeddings, own, 1, leave_one_out=False):
        apart = strangers.embeddings[rows].astype(np.float64) - own[indices[:, 0]]
        nearest[rows] = np.linalg.norm(apart, axis=1)
    scores = calibration.unlikeness(strangers.embeddings, nearest)
    per_class = {}
    if strangers.labels is not None:
        per_class = {
            strangers.classes[each]: auroc(known, scores[strangers.labels == each])
            for each in np.unique(strangers.labels)
        }
    return Unknown(
        name,
        len(scores),
        auroc(known, scores),
        false_positives(known, scores),
        float(np.mean(scores > calibration.judgement.cut)),
        per_class,
    )


def trust_rows(trust: Trust) -> list[tuple[str, str, str, str, str]]:
    """For each set of unknown pictures: name, pictures, AUROC, FPR at 95 % TPR, told so."""
    return [
        (
            each.name,
            f"{each.pictures:,}",
            f"{each.auroc:.1%}".replace("%", " %"),
            f"{each.false_positives:.1%}".replace("%", " %"),
            f"{each.refused:.1%}".replace("%", " %"),
        )
        for each in trust.unknown
    ]


def trust_sentence(trust: Trust) -> str:
    """What was found, for a person."""
    told = (
        f"Calibration error {trust.reliability.error:.2%} over {trust.reliability.answers:,} "
        f"results (the first ten of {trust.queries:,} queries). {trust.refused:.1%} of the queries "
        f"are told that nothing is alike; {trust.promised:.1%} were allowed."
    )
    return told.replace("%", " %")


def trust_blocks(trust: Trust, folder: Path) -> list[Block]:
    """The report's part; draws ``reliability.png`` into ``folder``. Raises ``OSError``."""
    picture = folder / "reliability.png"
    plot_reliability(trust.reliability, picture)
    low, high = trust.reliability.bins[0], trust.reliability.bins[-1]
    alt = (
        f"Share of right results over the probability told: {low[1]:.0%} right where {low[0]:.0%} "
        f"was told, {high[1]:.0%} where {high[0]:.0%} was."
    ).replace("%", " %")
    blocks: list[Block] = [
        Heading("Can its probabilities be trusted?"),
        Paragraph(
            trust_sentence(trust) + " The calibration error is the mean gap between the "
            "probability told and the share that is right, over 15 bins of equal count. Fitted on "
            f"{trust.fitted_on}."
        ),
        Picture(picture, alt),
    ]
    if trust.unknown:
        blocks += [
            Heading("Does it know what it does not know?"),
            Paragraph(
                "Pictures of other kinds, searched in the same gallery. AUROC: how often one of "
                "them is found less alike than a picture whose kind is there. FPR at 95 % TPR: the "
                "share taken for known where 95 % of the known are."
            ),
            Table(
                ("unknown", "pictures", "AUROC", "FPR at 95 % TPR", "told: nothing alike"),
                trust_rows(trust),
            ),
        ]
    return blocks


def plot_reliability(found: Reliability, path: Path) -> None:
    """Share right over probability told, a point for each bin, as a PNG. Raises ``OSError``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(5.4, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=LOSS_COLOUR, linestyle="--", linewidth=1, label="as told")
    told, right, _ = zip(*found.bins, strict=True)
    axes.plot(told, right, "o-", color=TOP_1_COLOUR, markersize=4, label="measured")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("probability told")
    axes.set_ylabel("of its kind")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, format="png")
