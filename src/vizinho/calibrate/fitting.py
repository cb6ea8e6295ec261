"""From queries whose answers are known to a `Calibration`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.calibrate.calibration import (
    NEIGHBOURS,
    Calibration,
    Chance,
    Floats,
    Judgement,
)
from vizinho.calibrate.familiarity import Familiarity
from vizinho.calibrate.regression import isotonic, log_loss, logistic

#: The share of genuine queries that are answered "nothing alike" unless another is asked for.
REFUSED = 0.05
FEWEST_QUERIES = 100
#: A distance this small beside the usual one is the same picture.
SAME = 1e-3
#: The chance falls at least so steeply with the logarithm of the distance. Among the first ten
#: results density says nearly all; left free, the closer could come out as the less likely.
STEEPEST_ALLOWED = -1.0
FOLDS = 5
#: Knots that isotonic steps are thinned to.
MOST_KNOTS = 60


Bools = NDArray[np.bool_]


class CalibrationImpossible(ValueError):
    """There is too little to fit on, in a sentence."""


@dataclass(frozen=True)
class Asked:
    """Q queries put to a gallery of ``size`` others: ``distances`` [Q, K] ascending, ``same``
    [Q, K] whether each result is of the query's kind, ``rated`` [Q, K] whether that is known, and
    ``queries`` [Q] numbers that are the same for the same query put to several galleries."""

    size: int
    distances: Floats
    same: Bools
    queries: NDArray[np.int64]
    rated: Bools | None = None


@dataclass(frozen=True)
class _Pairs:
    figures: Floats
    same: Bools
    queries: NDArray[np.int64]


def fit_calibration(
    asked: Sequence[Asked],
    embeddings: NDArray[Any],
    genuine: Bools,
    *,
    familiarity: Familiarity | None = None,
    unfamiliar: Floats | None = None,
    refused: float = REFUSED,
    about: dict[str, Any] | None = None,
) -> Calibration:
    """A calibration from queries put to galleries; the first of ``asked`` is the whole one.

    ``embeddings`` [Q, D] are the queries of that one, ``genuine`` [Q] those that have their kind in
    the gallery. ``unfamiliar`` [Q] are the distances to the nearest class, from class means that
    the query has no part in; by default those of ``familiarity``. Where logistic or isotonic is
    better is decided by cross-validation over queries. Raises CalibrationImpossible.
    """
    whole = asked[0]
    if int(genuine.sum()) < FEWEST_QUERIES:
        raise CalibrationImpossible(
            f"{int(genuine.sum())} pictures have another of their label; calibrating needs "
            f"{FEWEST_QUERIES}."
        )
    positive = whole.distances[whole.distances > 0]
    if not len(positive):
        raise CalibrationImpossible("All pictures have the same embedding.")
    floor = float(SAME * np.median(positive))
    pairs = _pairs(asked, floor)
    sizes = (float(min(each.size for each in asked)), float(max(each.size for each in asked)))
    losses = _cross_validated(pairs, sizes)
    method = "isotonic" if losses["isotonic"] < losses["logistic"] else "logistic"
    if familiarity is not None and unfamiliar is None:
        unfamiliar = familiarity.distances(embeddings)
    nearest = np.maximum(whole.distances[:, 0], floor)[genuine]
    judgement = fit_judgement(nearest, None if unfamiliar is None else unfamiliar[genuine], refused)
    return Calibration(
        chance=_chance(pairs, sizes, method),
        judgement=judgement,
        floor=floor,
        familiarity=familiarity,
        about={
            **(about or {}),
            "queries": len(whole.distances),
            "gallery_sizes": sorted({each.size for each in asked}),
            "neighbours": NEIGHBOURS,
            "log_loss": {name: round(loss, 5) for name, loss in losses.items()},
        },
    )


def fit_judgement(nearest: Floats, unfamiliar: Floats | None, refused: float) -> Judgement:
    """From genuine queries: half of them say what is usual, the other half where the cut is.

    Split conformal: of n scores in order the cut is that of rank ceil((n + 1) (1 - refused)), so a
    further query of the same origin is refused with a probability of at most ``refused``. A query
    exactly at the cut is known.
    """
    if not 0 < refused < 1:
        raise CalibrationImpossible(f"The share to refuse must be between 0 and 1, not {refused}.")
    order = np.random.default_rng(0).permutation(len(nearest))
    usual, held = order[: len(order) // 2], order[len(order) // 2 :]
    draft = Judgement(
        _standard(np.log(nearest[usual])),
        None if unfamiliar is None else _standard(unfamiliar[usual]),
        0.0,
        refused,
        len(held),
    )
    scores = draft.unlikeness(nearest[held], None if unfamiliar is None else unfamiliar[held])
    cut = conformal_cut(scores, refused)
    return Judgement(draft.nearest, draft.familiarity, cut, refused, len(held))


def conformal_cut(scores: Floats, refused: float) -> float:
    """The finite-sample quantile of ``scores`` that at most ``refused`` of further ones exceed.

    Raises CalibrationImpossible where there are too few scores for that share.
    """
    rank = int(np.ceil((len(scores) + 1) * (1 - refused) - 1e-9))
    if rank > len(scores):
        raise CalibrationImpossible(
            f"{len(scores)} queries are too few to refuse only {refused:.2%} of them."
        )
    # A score computed again, alone or among others, may differ in its last digits.
    found = np.sort(scores)[rank - 1]
    return float(found + 1e-9 * max(1.0, abs(found)))


def _standard(values: Floats) -> tuple[float, float, float]:
    """Mean, spread and weight: all figures weigh the same."""
    return float(values.mean()), float(max(values.std(), 1e-6)), 1.0


def _pairs(asked: Sequence[Asked], floor: float) -> _Pairs:
    figures, same, queries = [], [], []
    for each in asked:
        near = np.log(np.maximum(each.distances[:, :NEIGHBOURS], floor))
        density = np.repeat(near[:, -1:], near.shape[1], axis=1)
        size = np.full(near.shape, np.log(each.size))
        kept = np.ones(near.shape, bool) if each.rated is None else each.rated[:, :NEIGHBOURS]
        figures.append(np.stack([near[kept], density[kept], size[kept]], axis=1))
        same.append(each.same[:, :NEIGHBOURS][kept])
        queries.append(np.repeat(each.queries[:, None], near.shape[1], axis=1)[kept])
    return _Pairs(np.concatenate(figures), np.concatenate(same), np.concatenate(queries))


def _chance(pairs: _Pairs, sizes: tuple[float, float], method: str) -> Chance:
    used = [0, 1]
    if sizes[0] < sizes[1]:
        # The size says something only where there were several.
        used.append(2)
    weights = np.zeros(3)
    found = logistic(pairs.figures[:, used], pairs.same)
    if found[1] > 0:
        # Else what is far from everything would come out as likely.
        used.remove(1)
        found = logistic(pairs.figures[:, used], pairs.same)
    if found[0] > STEEPEST_ALLOWED:
        weights[0] = STEEPEST_ALLOWED
        used.remove(0)
        found = logistic(pairs.figures[:, used], pairs.same, offset=pairs.figures @ weights)
    weights[used] = found[:-1]
    distance, density, size = map(float, weights)
    plain = Chance("logistic", distance, density, size, float(found[-1]), sizes)
    if method == "logistic":
        return plain
    scores, chances = isotonic(pairs.figures @ weights + plain.constant, pairs.same)
    kept = np.unique(np.linspace(0, len(scores) - 1, min(len(scores), MOST_KNOTS)).astype(int))
    knots = tuple((round(float(scores[i]), 5), round(float(chances[i]), 5)) for i in kept)
    return Chance(
        "isotonic", plain.distance, plain.density, plain.size, plain.constant, sizes, knots
    )


def _cross_validated(pairs: _Pairs, sizes: tuple[float, float]) -> dict[str, float]:
    """Mean log loss of each method on queries that it was not fitted on."""
    names = np.unique(pairs.queries)
    fold_of = np.random.default_rng(0).permutation(len(names)) % FOLDS
    folds = fold_of[np.searchsorted(names, pairs.queries)]
    losses = {"logistic": 0.0, "isotonic": 0.0}
    for fold in range(FOLDS):
        held = folds == fold
        rest = _Pairs(pairs.figures[~held], pairs.same[~held], pairs.queries[~held])
        for method in losses:
            chance = _chance(rest, sizes, method)
            near, density, size = np.exp(pairs.figures[held]).T
            score = chance.distance * np.log(near) + chance.density * np.log(density)
            score = score + chance.size * np.log(size) + chance.constant
            losses[method] += log_loss(chance.of(score), pairs.same[held]) * float(held.mean())
    return losses
