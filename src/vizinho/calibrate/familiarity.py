"""How familiar a picture is to the model: its Mahalanobis distance to the nearest class."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Share of the mean variance that is mixed into the covariance: what a sample says of the
#: directions with hardly any spread is noise.
SHRINKAGE = 0.01
#: Numbers that a bundle's description may hold; a larger one is not kept at all.
MOST_NUMBERS = 150 * 1024 // 4
#: Pictures that a class's mean needs.
FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Class means [C, D] and the directions [D, D] in which their spread has length 1."""

    means: NDArray[np.float32]
    whitening: NDArray[np.float32]

    def __post_init__(self) -> None:
        # Differences and products are taken of small numbers; the classes are whitened once.
        white = self.whitening.astype(np.float64)
        object.__setattr__(self, "_white", white)
        object.__setattr__(self, "_places", self.means.astype(np.float64) @ white)

    def distances(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """[N] from each of ``embeddings`` [N, D] to its nearest class mean."""
        places: NDArray[np.float64] = self._places  # type: ignore[attr-defined]
        seen = embeddings.astype(np.float64) @ self._white  # type: ignore[attr-defined]
        nearest = np.full(len(seen), np.inf)
        # A query is compared with all classes at once, many queries with one after the other.
        for place in places if len(seen) > 1 else ():
            np.minimum(nearest, ((seen - place) ** 2).sum(axis=1), out=nearest)
        if len(seen) == 1:
            apart = places - seen
            nearest[0] = np.einsum("cd,cd->c", apart, apart).min()
        found: NDArray[np.float64] = np.sqrt(nearest)
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON: sizes, and the float32 numbers (little-endian) in base64."""
        classes, dimension = self.means.shape
        return {
            "classes": classes,
            "dimension": dimension,
            "means": _text(self.means),
            "whitening": _text(self.whitening),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises ValueError for anything that `to_dict` does not give."""
        if set(data) != {"classes", "dimension", "means", "whitening"}:
            raise ValueError(f"familiarity has the fields {sorted(data)}")
        classes, dimension = int(data["classes"]), int(data["dimension"])
        return cls(
            _numbers(data["means"], classes, dimension),
            _numbers(data["whitening"], dimension, dimension),
        )


def fit_familiarity(embeddings: NDArray[Any], labels: NDArray[np.int64]) -> Familiarity | None:
    """From pictures [N, D] of known class; None where there are too few for the dimension, or
    where the numbers would not fit into a model's description."""
    classes, members = np.unique(labels, return_counts=True)
    classes = classes[members >= FEWEST_OF_A_CLASS]
    kept = np.isin(labels, classes)
    rows, marks = embeddings[kept].astype(np.float64), labels[kept]
    dimension = embeddings.shape[1]
    if len(rows) < 2 * dimension + len(classes) or not len(classes):
        return None
    if dimension * (dimension + len(classes)) > MOST_NUMBERS:
        return None
    means = np.stack([rows[marks == each].mean(axis=0) for each in classes])
    apart = rows - means[np.searchsorted(classes, marks)]
    spread = apart.T @ apart / len(apart)
    mean = np.trace(spread) / dimension
    if mean <= 0:
        return None
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * mean * np.eye(dimension)
    whitening = np.linalg.cholesky(np.linalg.inv(spread))
    return Familiarity(means.astype(np.float32), whitening.astype(np.float32))


def _text(numbers: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode("ascii")


def _numbers(text: Any, rows: int, columns: int) -> NDArray[np.float32]:
    data = base64.b64decode(str(text), validate=True)
    if rows < 1 or columns < 1 or len(data) != 4 * rows * columns:
        raise ValueError(f"expected {rows} x {columns} numbers, got {len(data)} bytes")
    found = np.frombuffer(data, "<f4").reshape(rows, columns).astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("familiarity holds infinities or nan")
    return found
