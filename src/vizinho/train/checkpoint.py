"""Where a training stands, in one file that is always whole."""

from __future__ import annotations

import errno
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
def alone(run: Path, taken: str = "", way_out: str = "") -> Iterator[None]:
    """Holds the folder ``run`` against another training, or whoever ``taken`` speaks of.

    Raises ``TrainingError`` with ``taken`` and ``way_out`` when another has it already.
    """
    run.mkdir(parents=True, exist_ok=True)
    folder = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                taken or f"Another training is writing to {run}.",
                way_out or "Wait for it, or give another --out.",
            ) from None
        yield
    finally:
        os.close(folder)


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces ``path`` in one move: a crash leaves the old file or the new one.

    Raises ``TrainingError`` when the disk does not take it; the old file stays then too.
    """
    beside = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        cause = _of_the_system(error)
        if cause is None:
            raise
        why, way_out = cause.strerror or str(cause), "Check the path and its owner"
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why, way_out = "the disk is full", "Free some space"
        raise TrainingError(
            f"{path} can't be written: {why}.",
            f"{way_out} and run the same command again: it goes on from its last checkpoint.",
        ) from error


def _of_the_system(error: BaseException | None) -> OSError | None:
    """The system's error behind one of torch's, whose writer speaks of positions instead."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def load(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote. Raises ``TrainingError`` when it is none of ours or damaged."""
    state = read(path, "as a checkpoint", "Remove it, or start over with --fresh.")
    if state.get("format") != FORMAT:
        raise TrainingError(f"{path} is not a checkpoint of this version of Vizinho.")
    return state


def read(path: Path, what: str, hint: str) -> dict[str, Any]:
    """A file of PyTorch's that holds a dictionary; ``what`` and ``hint`` word the error.

    Raises ``TrainingError`` when it can't be read or holds something else.
    """
    try:
        # weights_only: a pickle from the internet must not run code here.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} can't be read {what}: {str(error).splitlines()[0]}", hint
        ) from error
    if not isinstance(state, dict):
        raise TrainingError(f"{path} holds a {type(state).__name__}, not weights by name.", hint)
    return state


def check_same(path: Path, state: dict[str, Any], recipe: Recipe, data: str) -> None:
    """Raises ``TrainingError`` when the checkpoint belongs to another recipe or other data.

    A schedule in steps makes the same steps whatever the number of epochs, so that may have grown.
    """
    # A field that is younger than the checkpoint had its default then.
    before, now = {**Recipe().to_dict(), **state["recipe"]}, recipe.to_dict()
    if recipe.schedule == "steps" and not recipe.low_share and recipe.epochs > before["epochs"]:
        before = {**before, "epochs": recipe.epochs}
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
