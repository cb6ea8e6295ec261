"""What a server offers, by name: a client shows only what is listed here of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Feature = Literal[
    "examples",  # /v1/search takes several pictures, with weights
    "kinds",  # /v1/search says identical, near-duplicate or similar
    "labels",  # /v1/labels
    "map",  # /v1/map
    "explain",  # /v1/explain, for this gallery's model
    "feedback",  # /v1/feedback
    "duplicates",  # /v1/duplicates
    "write",  # pictures may be added, changed and removed
    "image_url",  # /v1/search fetches pictures from the web
]

FEATURES: tuple[Feature, ...] = get_args(Feature)
SHARED: tuple[Feature, ...] = ("examples", "kinds", "labels")
"""What every speaker of the contract has, because the contract itself does it."""


def listed(offered: Iterable[Feature]) -> list[Feature]:
    """What is shared and what is ``offered``, in the order of `FEATURES`."""
    chosen = {*SHARED, *offered}
    return [name for name in FEATURES if name in chosen]
