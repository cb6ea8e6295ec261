"""One run of a sweep: train, measure, and say how it went."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from vizinho.errors import TrainingCollapsed, TrainingDiverged, TrainingError
from vizinho.evaluate import evaluate
from vizinho.train import checkpoint
from vizinho.train.finish import commit, hardware, write_model
from vizinho.train.loop import Trained, train
from vizinho.train.passes import embed
from vizinho.train.recipes import Recipe
from vizinho.train.sweep.epochs import keep_epochs
from vizinho.train.sweep.ledger import Run
from vizinho.train.sweep.pixels import Decoded
from vizinho.train.watching import EpochRecord, Progress

#: How often a run tells where it stands.
EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Task:
    """A run to make: its recipe, the folder of its checkpoint, its processor cores (None: all).

    ``model``: the bundle to export it to, or None.
    """

    key: str
    recipe: Recipe
    folder: Path
    data_sha256: str
    threads: int | None = None
    model: Path | None = None


@dataclass(frozen=True)
class Standing:
    """Where a run stands: ``finished`` epochs; ``rate`` in images a second, ``left`` in seconds."""

    key: str
    step: int
    steps: int
    finished: int
    loss: float | None = None
    top_1: float | None = None
    rate: float | None = None
    left: float | None = None
    note: str = ""


@dataclass
class Told:
    """The watcher of one run: tells its standing, keeps its epochs, asks it to stop."""

    task: Task
    tell: Callable[[Standing], None]
    stop: Callable[[], bool]
    _began: tuple[int, float] | None = None
    _last: float = 0.0
    _progress: Progress | None = field(default=None, repr=False)

    def note(self, text: str) -> None:
        """Passed on with the last standing."""
        self.tell(Standing(self.task.key, 0, 0, 0, note=text))

    def step(self, progress: Progress) -> bool:
        """Tells where the run stands, four times a second at most; False once it should stop."""
        self._progress = progress
        if self._began is None:
            self._began = (progress.images, progress.seconds)
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self._last = time.monotonic()
            self.tell(self._standing(progress))
        return not self.stop()

    def epoch(self, record: EpochRecord) -> None:
        """Keeps the epochs so far in ``epochs.json``."""
        if self._progress is not None:
            keep_epochs(self.task.folder, self._progress.records)
            self.tell(self._standing(self._progress))

    def _standing(self, progress: Progress) -> Standing:
        epochs, records = self.task.recipe.epochs, progress.records
        assert self._began is not None
        images, seconds = progress.images - self._began[0], progress.seconds - self._began[1]
        rate = images / seconds if seconds > 0 and images else None
        per_step = progress.images / progress.step if progress.step else 0
        left = (progress.steps - progress.step) * per_step / rate if rate else None
        done = progress.step * epochs / progress.steps - len(records)
        loss = progress.epoch_loss / done if done > 1e-9 else None
        if loss is None and records:
            loss = records[-1].loss
        return Standing(
            self.task.key,
            progress.step,
            progress.steps,
            len(records),
            loss,
            records[-1].precision_at_1 if records else None,
            rate,
            left,
        )


def perform(
    task: Task,
    images: Decoded,
    test: Decoded | None,
    tell: Callable[[Standing], None],
    stop: Callable[[], bool],
) -> Run:
    """Trains and measures; goes on from the folder's checkpoint.

    A run that collapses or diverges is a row too. Raises ``TrainingInterrupted`` when ``stop``
    says so, and whatever else keeps a training from starting.
    """
    left: list[Trained] = []
    reason, outcome = "", "ok"
    with checkpoint.alone(task.folder):
        _drop_foreign(task)
        try:
            trained = train(
                task.recipe,
                images,
                task.folder,
                Told(task, tell, stop),
                threads=task.threads,
                failed=left.append,
            )
        except (TrainingCollapsed, TrainingDiverged) as error:
            outcome = "collapsed" if isinstance(error, TrainingCollapsed) else "diverged"
            reason, trained = error.message, left[0]
        keep_epochs(task.folder, trained.progress.records)
        if task.model is not None and outcome == "ok":
            write_model(trained, task.recipe, task.model, task.model.name)
        return _row(task, trained, images, test, outcome, reason)


def _row(
    task: Task, trained: Trained, images: Decoded, test: Decoded | None, outcome: str, reason: str
) -> Run:
    pixels, progress, recipe = trained.pixels, trained.progress, task.recipe
    on_test = (None, None) if test is None else _measured(trained, recipe, test)
    aside = Decoded("", pixels.holdout, [], pixels.holdout_labels, pixels.classes)
    held_out = _measured(trained, recipe, aside)
    records = progress.records
    loss = records[-1].loss if records else None
    return Run(
        key=task.key,
        outcome=outcome,
        recipe=recipe.to_dict(),
        data=images.name,
        data_sha256=task.data_sha256,
        epochs_done=len(records),
        held_out=len(pixels.holdout),
        test="" if test is None else test.name,
        top_1_held_out=held_out[0],
        top_1_test=on_test[0],
        map_at_r=held_out[1] if test is None else on_test[1],
        final_loss=loss if loss is not None and math.isfinite(loss) else None,
        seconds=round(progress.seconds, 1),
        cpu_seconds=round(progress.cpu_seconds, 1),
        images_per_second=round(progress.images / max(progress.seconds, 1e-9), 1),
        reason=reason,
        precision=trained.precision,
        threads=torch.get_num_threads(),
        hardware=hardware(),
        torch=torch.__version__,
        commit=commit() or "",
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _measured(
    trained: Trained, recipe: Recipe, images: Decoded
) -> tuple[float | None, float | None]:
    """Top-1 and MAP@R, exact and leave-one-out; None for too few images or broken embeddings."""
    if len(images.labels) < 2:
        return None, None
    device = next(trained.network.parameters()).device
    embeddings = embed(trained.network, images.images, recipe, device)
    try:
        found = evaluate(embeddings, images.labels)
    except ValueError:
        # A diverged network's embeddings aren't finite.
        return None, None
    return found.precision_at_1, found.mean_average_precision_at_r


def _drop_foreign(task: Task) -> None:
    """Forgets a checkpoint that no longer loads: an older version's, or a damaged one.

    The folder's key says that it is of this recipe and this data, so there is nothing else in it
    to lose.
    """
    file = task.folder / "checkpoint.pt"
    if not file.exists():
        return
    try:
        state = checkpoint.load(file)
        checkpoint.check_same(file, state, task.recipe, state["data"])
    except (TrainingError, KeyError):
        file.unlink()
