"""What was fitted, kept as plain numbers, and how it is applied to the answer of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vizinho.calibrate.familiarity import Familiarity
from vizinho.calibrate.regression import LEAST

VERSION = 1
#: The first so many results say how dense the gallery is around a query.
NEIGHBOURS = 10
#: A gallery this many times larger (or smaller) than any that was fitted is taken for one that is
#: not: what holds there was neither fitted nor measured.
BEYOND = 10.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chance:
    """The chance that a result is of the query's kind.

    A score, linear in the logarithms of the result's distance, of the density (the distance of the
    query's tenth result) and of the gallery's size; then the logistic function of it, or steps
    through ``knots`` (score, chance), between which lines are drawn.
    """

    method: str
    distance: float
    density: float
    size: float
    constant: float
    sizes: tuple[float, float]
    """Pictures of the smallest and the largest gallery that it was fitted on."""
    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.method not in ("logistic", "isotonic"):
            raise ValueError(f"there is no method {self.method!r}")
        if (self.method == "isotonic") != bool(self.knots):
            raise ValueError("steps belong to the method isotonic")
        numbers = [self.distance, self.density, self.size, self.constant, *self.sizes]
        numbers += [number for knot in self.knots for number in knot]
        if not np.isfinite(numbers).all() or min(self.sizes) < 1 or self.distance > 0:
            raise ValueError("the chance has numbers that can't be")

    @cached_property
    def _steps(self) -> Floats:
        return np.array(self.knots).T

    def score(self, distances: Floats, density: ArrayLike, size: float) -> Floats:
        """Larger is likelier; never grows with the distance."""
        low, high = self.sizes[0] / BEYOND, self.sizes[1] * BEYOND
        fixed = self.size * np.log(min(max(size, low, 1.0), high)) + self.constant
        score: Floats = self.distance * np.log(distances) + self.density * np.log(density) + fixed
        return score

    def of(self, score: Floats) -> Floats:
        """Scores as chances, none nearer to 0 or 1 than a sample could tell."""
        if self.method == "isotonic":
            places, chances = self._steps
            steps: Floats = np.interp(score, places, chances)
            return steps
        found: Floats = 1.0 / (1.0 + np.exp(-np.clip(score, -30, 30)))
        return np.clip(found, LEAST, 1 - LEAST)


@dataclass(frozen=True)
class Judgement:
    """How unlike anything a query is: a weighted sum of standardised figures, and the cut over
    which the answer is "nothing alike".

    ``nearest``, ``familiarity``: (mean, standard deviation, weight) of the logarithm of the
    distance to the nearest picture of the gallery, and of the distance to the nearest class that
    the model knows; the latter is None without a `Familiarity`.
    """

    nearest: tuple[float, float, float]
    familiarity: tuple[float, float, float] | None
    cut: float
    refused: float
    """The share of genuine queries that the cut may refuse."""
    queries: int
    """How many queries the cut was taken from."""

    def __post_init__(self) -> None:
        for each in (self.nearest, self.familiarity or self.nearest):
            if len(each) != 3 or not np.isfinite(each).all() or each[1] <= 0:
                raise ValueError("the judgement has numbers that can't be")
        if not np.isfinite(self.cut) or not 0 < self.refused < 1:
            raise ValueError("the cut can't be")

    def unlikeness(self, nearest: Floats, unfamiliar: Floats | None) -> Floats:
        """[Q] from distances to the nearest picture [Q] and to the nearest class [Q]."""
        mean, scale, weight = self.nearest
        total: Floats = weight * (np.log(nearest) - mean) / scale
        if self.familiarity is not None and unfamiliar is not None:
            mean, scale, weight = self.familiarity
            total = total + weight * (unfamiliar - mean) / scale
        return total


@dataclass(frozen=True)
class Calibration:
    """All of it. ``floor`` is the least distance that counts: what is closer is the same picture.
    ``about`` says what it was fitted on, for people."""

    chance: Chance
    judgement: Judgement
    floor: float
    familiarity: Familiarity | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.floor) and self.floor > 0):
            raise ValueError("the least distance must be above 0")
        if (self.familiarity is None) != (self.judgement.familiarity is None):
            raise ValueError("familiarity is judged but not there, or there but not judged")

    def probabilities(self, distances: ArrayLike, near: ArrayLike, size: int) -> Floats:
        """The chance of each of one query's results [n] to be of its kind.

        ``near`` are the distances of its first results, nearest first, ten if there are as many;
        ``size`` is the number of pictures searched.
        """
        first = self.raised(near)[:NEIGHBOURS]
        return self.chance.of(self.chance.score(self.raised(distances), first[-1], size))

    def unlikeness(self, vectors: NDArray[Any], nearest: ArrayLike) -> Floats:
        """[Q] how unlike anything the queries [Q, D] are, given their least distances [Q]."""
        known = self.familiarity
        unfamiliar = None if known is None else known.distances(vectors)
        return self.judgement.unlikeness(self.raised(nearest), unfamiliar)

    def known(self, unlikeness: float) -> bool:
        """Whether there is anything alike."""
        return bool(unlikeness <= self.judgement.cut)

    def raised(self, distances: ArrayLike) -> Floats:
        """Distances, none under the floor."""
        return np.maximum(np.asarray(distances, dtype=np.float64), self.floor)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "version": VERSION,
            "chance": _plain(asdict(self.chance)),
            "judgement": _plain(asdict(self.judgement)),
            "floor": self.floor,
            "familiarity": None if self.familiarity is None else self.familiarity.to_dict(),
            "about": self.about,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises ValueError for anything that `to_dict` does not give."""
        try:
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']!r}; this Vizinho reads {VERSION}")
            if set(data) != {"version", *(each.name for each in fields(cls))}:
                raise ValueError(f"it has the fields {sorted(data)}")
            chance, judged = dict(data["chance"]), dict(data["judgement"])
            familiar, known = judged.pop("familiarity"), data["familiarity"]
            return cls(
                chance=Chance(
                    **{
                        **chance,
                        "sizes": _numbers(chance["sizes"], 2),
                        "knots": tuple(_numbers(knot, 2) for knot in chance["knots"]),
                    }
                ),
                judgement=Judgement(
                    **{**judged, "nearest": _numbers(judged["nearest"], 3)},
                    familiarity=None if familiar is None else _numbers(familiar, 3),
                ),
                floor=float(data["floor"]),
                familiarity=None if known is None else Familiarity.from_dict(known),
                about=dict(data["about"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the calibration is damaged: {error}") from error


def _plain(value: Any) -> Any:
    """Tuples as lists, as they come back from JSON."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _numbers(values: Sequence[Any], count: int) -> Any:
    if len(values) != count:
        raise ValueError(f"expected {count} numbers, got {values!r}")
    return tuple(float(value) for value in values)
