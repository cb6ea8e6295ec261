"""How far a training is, and who is told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch; ``precision_at_1`` (0..1) is on the held-out images, None without any.

    ``seconds`` of wall clock and ``cpu_seconds`` of all cores count from the training's begin,
    measuring included, pauses between resumed runs left out.
    """

    epoch: int
    loss: float
    precision_at_1: float | None
    size: int
    seconds: float
    cpu_seconds: float


@dataclass
class Progress:
    """Where a training stands: ``step`` of ``steps`` optimiser steps are made."""

    steps: int
    step: int = 0
    images: int = 0
    epoch_loss: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    records: list[EpochRecord] = field(default_factory=list)


class Watcher(Protocol):
    """Whoever shows the training to a person."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def step(self, progress: Progress) -> bool:
        """Called before the first and after every optimiser step; False asks it to stop."""

    def epoch(self, record: EpochRecord) -> None:
        """Called after every epoch."""


class Clock:
    """Keeps a training's own time in ``progress``, and tells when a checkpoint is due."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._wall = time.monotonic() - progress.seconds
        self._cpu = time.process_time() - progress.cpu_seconds
        self.saved()

    def read(self) -> None:
        """Brings the times in ``progress`` up to now."""
        self._progress.seconds = time.monotonic() - self._wall
        self._progress.cpu_seconds = time.process_time() - self._cpu

    def saved(self) -> None:
        """A checkpoint was just written."""
        self._last = time.monotonic()

    def checkpoint_is_due(self) -> bool:
        """True when the last one is a minute old."""
        return time.monotonic() - self._last >= CHECKPOINT_SECONDS
