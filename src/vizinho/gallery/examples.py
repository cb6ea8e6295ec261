"""Several pictures as one query: what it should be like, and what it should not.

Rocchio's formula, "Relevance feedback in information retrieval" (in Salton, ed., The SMART
Retrieval System, 1971): the query moves towards the examples that are wanted and away from those
that are not. With embeddings e_i and weights w_i it is::

    q = sum(w_i e_i) / sum(|w_i|)

brought back to unit length where the model gives unit vectors, so that distances keep their scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vizinho.errors import SettingsError
from vizinho.images import Crop, Source

_NOWHERE = 1e-6
"""A sum of unit vectors that is shorter points where rounding does."""


@dataclass(frozen=True)
class Example:
    """One picture of a query: a ``picture`` (bytes, a path or a PIL image), or the ``key`` of one
    in the gallery.

    ``weight`` -1..1 and not 0: above, the query should be like it; below, unlike it. ``crop``
    looks at a part of it only. Raises SettingsError.
    """

    picture: Source | None = None
    key: str | None = None
    weight: float = 1.0
    crop: Crop | None = None

    def __post_init__(self) -> None:
        if (self.picture is None) == (self.key is None):
            raise SettingsError("An example is either a picture or a key.", "Give one of the two.")
        # NaN compares with nothing, so it fails here too.
        if not 0 < abs(self.weight) <= 1:
            raise SettingsError(
                f"An example's weight is {self.weight}.", "It is a number -1..1, and not 0."
            )


def require_wanted(examples: Sequence[Example]) -> None:
    """Raises SettingsError where none is wanted: what is only unlike something may be anywhere."""
    if not any(example.weight > 0 for example in examples):
        raise SettingsError(
            "None of the examples has a weight above 0.", "Give at least one picture to look for."
        )


def combined(
    vectors: NDArray[np.float32], weights: Sequence[float], *, normalised: bool
) -> NDArray[np.float32]:
    """The query float32 [D] of embeddings [N, D] and their weights [N]; see this module.

    Raises SettingsError where unit vectors cancel each other out.
    """
    shares = np.asarray(weights, np.float64)
    query = shares @ vectors.astype(np.float64) / np.abs(shares).sum()
    if normalised:
        length = float(np.linalg.norm(query))
        if length < _NOWHERE:
            raise SettingsError(
                "The examples cancel each other out.",
                "Change a weight, or leave one of them out.",
            )
        query /= length
    return np.asarray(query, np.float32)
