"""Searching with a calibration: what each result is worth, and whether anything is alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vizinho.bundle import INFO_FILE, read_bundle
from vizinho.engines import Engine, Hit
from vizinho.engines.protocol import Filter
from vizinho.errors import BundleError
from vizinho.gallery.records import Match, Matches

if TYPE_CHECKING:
    from vizinho.calibrate import Calibration

#: A page that starts later than this is looked up on its own: one search for all up to it would
#: read as many rows.
DEEP = 100


class Judge:
    """The calibration of the model in a folder, read again when its description was replaced."""

    def __init__(self) -> None:
        self._seen: tuple[Path, int, int] | None = None
        self._calibration: Calibration | None = None
        self._reading = threading.Lock()
        self._size, self._until = 0, 0.0

    def size(self, engine: Engine) -> int:
        """How many pictures an engine has, or had a hundred times as long ago as counting takes:
        a server far away is not asked at each search for what hardly matters."""
        start = time.monotonic()
        if start >= self._until:
            self._size = engine.count()
            now = time.monotonic()
            self._until = now + 100 * (now - start)
        return self._size

    def calibration(self, model: Path) -> Calibration | None:
        """None where the model has none. Raises BundleError for a damaged one."""
        try:
            state = (model / INFO_FILE).stat()
        except OSError:
            # A migration has just taken this model away; who asks finishes with what was known.
            return self._calibration
        now = (model, state.st_ino, state.st_mtime_ns)
        with self._reading:
            if now != self._seen:
                try:
                    self._calibration = read_calibration(model)
                except BundleError:
                    if model.is_dir():
                        raise
                    return self._calibration
                self._seen = now
            return self._calibration


def read_calibration(model: Path) -> Calibration | None:
    """What a model bundle keeps; None without one, or for one of a later Vizinho.

    Raises BundleError where it is damaged.
    """
    data = read_bundle(model).calibration
    if data is None:
        return None
    from vizinho.calibrate import VERSION, Calibration

    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        return None
    try:
        return Calibration.from_dict(data)
    except ValueError as error:
        raise BundleError(
            f"{model / INFO_FILE}: {error}.", "Calibrate again, with `vizinho calibrate`."
        ) from error


def search(
    engine: Engine,
    judge: Judge,
    model: Path,
    vectors: NDArray[np.float32],
    k: int,
    *,
    offset: int = 0,
    filter: Filter | None = None,
) -> list[Matches]:
    """The ``k`` nearest of each query from rank ``offset`` on, judged if the model in the folder
    ``model`` has a calibration.

    The first ten are looked up with them, whatever was asked for: the nearest says whether anything
    is alike, the tenth how dense the gallery is there. With a filter these are the first ten that
    pass it: what does not pass is, for this search, not in the gallery.
    """
    calibration = judge.calibration(model)
    if calibration is None:
        return unjudged(engine, vectors, k, offset=offset, filter=filter)
    from vizinho.calibrate import NEIGHBOURS

    if offset > DEEP or k < 1 or offset < 0:
        pages = engine.search(vectors, k, offset=offset, filter=filter)
        firsts = engine.search(vectors, NEIGHBOURS, filter=filter)
    else:
        whole = engine.search(vectors, max(k + offset, NEIGHBOURS), filter=filter)
        pages = [hits[offset : offset + k] for hits in whole]
        firsts = [hits[:NEIGHBOURS] for hits in whole]
    size = judge.size(engine)
    return [
        _judged(calibration, vector, page, first, size)
        for vector, page, first in zip(np.asarray(vectors), pages, firsts, strict=True)
    ]


def unjudged(
    engine: Engine,
    vectors: NDArray[np.float32],
    k: int,
    *,
    offset: int = 0,
    filter: Filter | None = None,
) -> list[Matches]:
    """`search` without a calibration: neither probabilities nor ``known``."""
    found = engine.search(vectors, k, offset=offset, filter=filter)
    return [Matches(map(_match, hits)) for hits in found]


def _judged(
    calibration: Calibration,
    vector: NDArray[np.float32],
    page: Sequence[Hit],
    first: Sequence[Hit],
    size: int,
) -> Matches:
    if not first:
        return Matches()
    near = [hit.distance for hit in first]
    chances = calibration.probabilities([hit.distance for hit in page], near, size).tolist()
    unlikeness = float(calibration.unlikeness(vector[None], near[:1])[0])
    return Matches(
        (_match(hit, chance) for hit, chance in zip(page, chances, strict=True)),
        known=calibration.known(unlikeness),
        unlikeness=unlikeness,
    )


def _match(hit: Hit, chance: float | None = None) -> Match:
    chance = None if chance is None else round(chance, 4)
    return Match(hit.key, hit.row.url, hit.distance, chance, hit.row.label, dict(hit.row.metadata))
