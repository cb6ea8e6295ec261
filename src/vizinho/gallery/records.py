"""What goes into a gallery and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vizinho.datasets import Skipped
    from vizinho.images import Source


@dataclass(frozen=True)
class Match:
    """One answer of a search.

    ``distance`` is Euclidean between embeddings, smaller is closer, 0 is the same picture.
    ``probability`` is the chance that it is of the query's kind (0..1), None for a model without
    calibration. ``kind``: what it is beside the query, where that was asked
    (`vizinho.gallery.kinds`).
    """

    key: str
    url: str
    distance: float
    probability: float | None = None
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    kind: str | None = None


class Matches(list[Match]):
    """The answer of a search: a list of `Match`, nearest first, that also says of the query:

    ``known``: whether anything in the gallery is alike; by default 5 % of the queries that have
    their kind there are taken for unknown. None for a model without calibration, and where there
    was nothing to compare with. ``unlikeness``: the number behind it, larger is stranger.
    """

    def __init__(
        self,
        matches: Iterable[Match] = (),
        *,
        known: bool | None = None,
        unlikeness: float | None = None,
    ) -> None:
        super().__init__(matches)
        self.known = known
        self.unlikeness = unlikeness


@dataclass(frozen=True)
class NewImage:
    """One picture to add.

    ``key``: by default the file's name, or the start of the content hash for bytes. ``label`` and
    ``metadata``: None and empty keep what a picture of that key has. ``store``: copy the bytes into
    the gallery; without, ``url`` should say where they are to be seen. ``stem``: a key to take if
    there is none and no other picture has it, else one like it.
    """

    source: Source
    key: str | None = None
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    store: bool = True
    url: str | None = None
    stem: str = ""


@dataclass
class AddReport:
    """What adding or synchronising did, in pictures.

    ``changed``: same key, but other bytes, label or metadata. ``renamed``: same bytes under another
    name; the embedding was kept. ``duplicates``: left out because the gallery holds the same bytes
    under another key. ``stages``: seconds of work in "read", "decode", "embed" and "write", summed
    over threads, so together they may exceed ``seconds``.
    """

    added: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: int = 0
    renamed: int = 0
    duplicates: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class Keep(Enum):
    """Stands for "as it is", where None means "none"."""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass
class LabelReport:
    """What labelling did, in pictures; ``unknown`` are keys that the gallery does not have."""

    changed: int = 0
    unchanged: int = 0
    unknown: list[str] = field(default_factory=list)
