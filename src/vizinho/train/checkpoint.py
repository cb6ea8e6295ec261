"""Where a training stands, in one file that is always whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vizinho.errors import TrainingError
from vizinho.train.recipes import EXPORT_ONLY, Recipe

FORMAT = 1


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Holds ``run`` against another training. Raises ``TrainingError`` when one has it already."""
    run.mkdir(parents=True, exist_ok=True)
    folder = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"Another training is writing to {run}.", "Wait for it, or give another --out."
            ) from None
        yield
    finally:
        os.close(folder)


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces ``path`` in one move: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote. Raises ``TrainingError`` when it is none of ours or damaged."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} can't be read as a checkpoint: {error}",
            "Remove it, or start over with --fresh.",
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(f"{path} is not a checkpoint of this version of Vizinho.")
    return state


def check_same(path: Path, state: dict[str, Any], recipe: Recipe, data: str) -> None:
    """Raises ``TrainingError`` when the checkpoint belongs to another recipe or other data."""
    before, now = state["recipe"], recipe.to_dict()
    changed = [
        f"{field} was {before.get(field)!r}, now {now[field]!r}"
        for field in sorted(now.keys() - EXPORT_ONLY)
        if before.get(field) != now[field]
    ]
    if state["data"] != data:
        changed.append("the training images are others")
    if changed:
        raise TrainingError(
            f"{path.parent} holds a training that was told otherwise: {'; '.join(changed)}.",
            "Give the same options to go on with it, another --out, or --fresh to start over.",
        )
