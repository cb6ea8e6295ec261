"""How a training looks in a terminal: a bar with rate and time left, a line per epoch."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vizinho.cli.console import err
from vizinho.cli.stopping import Stopping

if TYPE_CHECKING:
    from vizinho.train.recipes import Recipe
    from vizinho.train.watching import EpochRecord, Progress


class TrainingView:
    """Draws on stderr, and turns the first Ctrl-C into a stop between two steps.

    A second Ctrl-C is the usual one. Without a terminal only the lines are written.
    """

    def __init__(self, recipe: Recipe, *, quiet: bool = False) -> None:
        from rich import progress as bars

        self._recipe = recipe
        self._quiet = quiet
        self._console = err()
        self._stopping = Stopping(self.note)
        self._task: Any = None
        self._started = False
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=None),
            bars.TextColumn("{task.fields[note]}"),
            bars.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
            speed_estimate_period=120,
            disable=quiet or not sys.stderr.isatty(),
        )

    def __enter__(self) -> TrainingView:
        self._stopping.begin()
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
        self._stopping.end()

    def decoding(self, done: int, total: int | None) -> None:
        """Progress of reading the images."""
        if self._task is None:
            self._task = self._bars.add_task("reading images", total=total, note="")
        self._bars.update(self._task, completed=done, total=total, note=f"{done:,} of {total:,}")

    def fetching(self, done: int, total: int | None) -> None:
        """Progress of downloading weights, in bytes."""
        if self._task is None or self._bars.tasks[-1].description != "downloading weights":
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task("downloading weights", total=total, note="")
        note = f"{done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f}" if total else "")
        self._bars.update(self._task, completed=done, total=total, note=note)

    def planned(self, recipe: Recipe) -> None:
        """The recipe that is trained after all, once its epochs are chosen."""
        self._recipe = recipe

    def note(self, text: str) -> None:
        """Writes a line."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False)

    def step(self, progress: Progress) -> bool:
        """Moves the bar; False once Ctrl-C was pressed."""
        if not self._started:
            self._start_training(progress)
        epoch = len(progress.records) + 1
        per_epoch = max(1, progress.steps // self._recipe.epochs)
        share = (progress.step - (epoch - 1) * per_epoch) / per_epoch
        loss = progress.epoch_loss / share if share > 0 else float("nan")
        speed = self._bars.tasks[-1].speed or 0.0
        note = f"loss {loss:.3f}  {speed * self._recipe.batch_size:,.0f} images/s"
        self._bars.update(
            self._task,
            completed=progress.step,
            description=f"epoch {min(epoch, self._recipe.epochs)}/{self._recipe.epochs}",
            note=note,
        )
        return not self._stopping.asked

    def epoch(self, record: EpochRecord) -> None:
        """Writes a line for a finished epoch."""
        if self._quiet:
            return
        top_1 = "" if record.precision_at_1 is None else f"  Top-1 {record.precision_at_1:7.2%}"
        self._console.print(
            f"epoch {record.epoch:>3}/{self._recipe.epochs}  loss {record.loss:.4f}{top_1}"
            f"  {record.size} px  {record.seconds / 60:.1f} min",
            highlight=False,
        )

    def _start_training(self, progress: Progress) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(
            "training", total=progress.steps, completed=progress.step, note=""
        )
        self._started = True
        if progress.step and not self._quiet:
            self._console.print(
                f"Going on from step {progress.step:,} of {progress.steps:,}.", highlight=False
            )
