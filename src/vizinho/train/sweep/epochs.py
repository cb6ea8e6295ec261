"""A run's epochs, kept when its checkpoint goes: the curves are drawn from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from vizinho.train.watching import EpochRecord


def keep_epochs(folder: Path, records: Sequence[EpochRecord]) -> None:
    """Replaces ``epochs.json``, which the curves are drawn from."""
    beside = folder / "epochs.part"
    beside.write_text(json.dumps([asdict(record) for record in records]), "utf-8")
    beside.replace(folder / "epochs.json")


def read_epochs(folder: Path) -> list[EpochRecord]:
    """What :func:`keep_epochs` kept; empty where there is nothing."""
    try:
        found: list[Mapping[str, float]] = json.loads((folder / "epochs.json").read_text("utf-8"))
        return [EpochRecord(**record) for record in found]  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError):
        return []
