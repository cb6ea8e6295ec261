"""Tells a training that can't recover from one that is only slow to start.

A siamese network has a lazy way to a small triplet loss: give every image the same embedding. All
distances are then 0 and a hinge loss stands at its margin for good (Hermans, Beyer and Leibe,
2017, section 3.2). Less complete, all embeddings may fall on one line. Both are seen in the
geometry of a batch, over a stretch of steps, so that a start that merely looks alike passes.

A loss of exactly zero has no gradient. That is the end of a hinge that has won, and as well the
silence of a miner that finds nothing to learn from; the batch itself tells which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vizinho.errors import TrainingCollapsed, TrainingDiverged
from vizinho.train.distances import pairs, pairwise_squared_distances

#: Embeddings nearer to each other than this share of their own length are one point. A fresh
#: network's are about 0.05 apart; a collapsed one's are under 0.0001.
POINT = 1e-3

#: Below this effective rank the embeddings are a line.
LINE = 1.05

#: A hinge loss that is this near to its margin, as a share of it, stands at the margin ...
AT_MARGIN = 0.01

#: ... and if squared distances are this small a share of the margin, it can't tell images apart.
SMALL = 0.01

#: Embeddings of a batch that are looked at; more tell nothing new.
SAMPLE = 128

#: What helps a loss that is zero although there is something to learn.
WAYS_OUT = (
    "More steps won't help. Try --mining batch-all or batch-hard, a larger margin, or --normalise: "
    "embeddings that are far apart leave nothing within a margin."
)


@dataclass(frozen=True)
class Geometry:
    """How the embeddings of a batch lie."""

    mean_distance: float
    """Mean Euclidean distance between two of them."""
    relative_distance: float
    """The same as a share of their root mean square length."""
    effective_rank: float
    """Dimensions they really use, 1 to D: exp of the entropy of the normalised singular values of
    the centred batch (Roy and Vetterli, "The effective rank", 2007)."""


class CollapseMonitor:
    """Call ``update`` after each step; it raises when going on would be a waste of time.

    ``margin``: of a hinge loss on ``squared`` or plain distances; None for losses without one.
    ``classes``: how many are trained on; two classes may well lie on a line, so that check needs
    three. ``group``: how many images in a row a loss sees together. ``grace``: first steps in
    which no geometry stops the training. ``patience``: how many steps in a row must look alike.
    ``before``: steps that were made before these, by a training that is gone on with.
    """

    def __init__(
        self,
        *,
        margin: float | None = None,
        squared: bool = True,
        classes: int | None = None,
        group: int = SAMPLE,
        grace: int = 100,
        patience: int = 50,
        before: int = 0,
    ) -> None:
        self.margin = margin
        self.squared = squared
        self.classes = classes
        self.group = group
        self.grace = grace
        self.patience = patience
        self.before = before
        self._steps = 0
        self._idle = 0
        self._alike = {"in one point": 0, "on one line": 0, "too close for the margin": 0}

    def update(self, embeddings: Tensor, loss: float, labels: Tensor | None = None) -> Geometry:
        """Look at a step's embeddings [N, D], N >= 2, its loss, its labels [N]; returns a geometry.

        Raises ``TrainingDiverged`` at once when embeddings or loss aren't finite. Raises
        ``TrainingCollapsed`` when for ``patience`` steps up to now, and past the ``grace``, all
        embeddings lay in one point, on one line, or so close that a loss with a margin stood at
        that margin; and when for ``patience`` steps the loss was exactly zero although, by the
        ``labels``, the last batch isn't sorted by class yet.
        """
        self._steps += 1
        sample = embeddings.detach()[:SAMPLE].float()
        if not math.isfinite(loss) or not bool(torch.isfinite(sample).all()):
            what = "an embedding" if math.isfinite(loss) else "the loss"
            raise TrainingDiverged(
                f"Training diverged: {what} is not a finite number at step "
                f"{self.before + self._steps:,}.",
                "Try a learning rate ten times lower, a longer warm-up, or float32 in place of "
                "bfloat16.",
            )
        geometry = measure(sample)
        for where, seen in self._signs(geometry, loss, sample.shape[1]).items():
            self._alike[where] = self._alike[where] + 1 if seen else 0
            if self._steps > self.grace and self._alike[where] >= self.patience:
                self._give_up(where, geometry, loss)
        self._idle = self._idle + 1 if loss == 0.0 else 0
        in_point = geometry.relative_distance < POINT
        if self._idle >= self.patience and labels is not None and not in_point:
            self._idle = 0
            self._tell_idle(sample, labels)
        return geometry

    def _tell_idle(self, sample: Tensor, labels: Tensor) -> None:
        said = f"No triplets or pairs to learn from for {self.patience} steps: the loss is zero."
        together = min(self.group, len(sample))
        positive, negative = pairs(labels[:together].to(sample.device))
        both = positive.any(1) & negative.any(1)
        if not bool(both.any()):
            raise TrainingCollapsed(
                f"{said} No class comes twice, beside another, among {together} images that the "
                "loss sees together.",
                "Show it more at a time (--micro-batch), or several images of a class: "
                "--set per_class=4.",
            )
        squared = pairwise_squared_distances(sample[:together])
        farthest = squared.masked_fill(~positive, -torch.inf).amax(1)
        nearest = squared.masked_fill(~negative, torch.inf).amin(1)
        wrong = float((farthest > nearest)[both].float().mean())
        # Zero because every image lies as it should is success, not silence.
        if wrong > 0:
            raise TrainingCollapsed(
                f"{said} Yet {wrong:.0%} of the images lie nearer to one of another class than to "
                "one of their own.",
                WAYS_OUT,
            )

    def _signs(self, geometry: Geometry, loss: float, dimension: int) -> dict[str, bool]:
        in_point = geometry.relative_distance < POINT
        line_is_wrong = dimension > 1 and (self.classes is None or self.classes > 2)
        return {
            "in one point": in_point,
            # A point has no direction: the rank of what rounding left of it means nothing.
            "on one line": line_is_wrong and not in_point and geometry.effective_rank < LINE,
            "too close for the margin": self._at_margin(loss)
            and self.margin is not None
            and geometry.mean_distance ** (2 if self.squared else 1) < SMALL * self.margin,
        }

    def _at_margin(self, loss: float) -> bool:
        return self.margin is not None and abs(loss - self.margin) <= AT_MARGIN * self.margin

    def _give_up(self, where: str, geometry: Geometry, loss: float) -> None:
        stuck = f" The loss stands at the margin, {self.margin:g}." if self._at_margin(loss) else ""
        raise TrainingCollapsed(
            f"Training collapsed: for {self.patience} steps all embeddings have lain {where} "
            f"(mean distance {geometry.mean_distance:.2g}, {geometry.relative_distance:.2g} of "
            f"their length; effective rank {geometry.effective_rank:.2f}).{stuck}",
            "More steps won't help. Try a lower learning rate, a smaller margin, semi-hard mining "
            "in place of batch-hard, or normalised embeddings.",
        )


def measure(embeddings: Tensor) -> Geometry:
    """The geometry of [N, D], N >= 2, on the CPU in float64 so that a tiny spread is still seen."""
    points = embeddings.detach().to(device="cpu", dtype=torch.float64)
    length = float(points.square().sum(1).mean().sqrt())
    distance = float(torch.pdist(points).mean())
    singular = torch.linalg.svdvals(points - points.mean(0))
    total = float(singular.sum())
    rank = 1.0
    if total > 0.0:
        share = singular / total
        rank = math.exp(float(torch.special.entr(share).sum()))
    return Geometry(distance, distance / length if length > 0.0 else 0.0, rank)
