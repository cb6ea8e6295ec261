"""How a sweep looks in a terminal: a table of its runs that keeps up with them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vizinho.cli.console import err
from vizinho.cli.stopping import Stopping

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vizinho.train.sweep.ledger import Ledger, Run
    from vizinho.train.sweep.run import Standing, Task

#: Lines of the terminal that the live table leaves to what was printed before it.
MARGIN = 8

#: Drawing tables and pictures takes a second, so that a sweep of short runs does it less often.
REDRAW_SECONDS = 20.0


class SweepView:
    """Draws on stderr, and turns the first Ctrl-C into a stop between two steps.

    A second Ctrl-C ends it at once. Without a terminal it writes a line for each epoch and run.
    ``redraw`` is called after a run, with the rows so far.
    """

    def __init__(
        self, fields: Sequence[str], redraw: Callable[[Ledger], None], *, quiet: bool = False
    ) -> None:
        from rich.live import Live

        self._fields = fields
        self._redraw = redraw
        self._drawn = time.monotonic()
        self._quiet = quiet
        self._console = err()
        self._stopping = Stopping(self._say)
        self._tasks: dict[str, Task] = {}
        self._now: dict[str, Standing] = {}
        self._done: dict[str, Run] = {}
        self._broken: dict[str, str] = {}
        self._there = 0
        self._live: Live | None = None
        if not quiet and sys.stderr.isatty():
            self._live = Live(
                console=self._console, get_renderable=self.table, refresh_per_second=4
            )

    def __enter__(self) -> SweepView:
        self._stopping.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        self._stopping.end()

    def begins(self, tasks: Sequence[Task], done: Sequence[Run]) -> None:
        """Says how much there is to do."""
        self._tasks = {task.key: task for task in tasks}
        self._there = len(done)
        there = f"; {len(done)} are there already" if done else ""
        self._say(f"{len(tasks)} runs to make{there}.")
        if self._live is not None and tasks:
            self._live.start()

    def stands(self, task: Task, standing: Standing) -> None:
        """Keeps the standing for the live table; a line per epoch without one."""
        if standing.note:
            self._say(f"{self._name(task)}: {standing.note}")
            return
        before = self._now.get(task.key)
        self._now[task.key] = standing
        ended = before is not None and before.finished < standing.finished
        if self._live is None and ended:
            left = f"  {_time(standing.left)} left" if standing.left else ""
            self._say(
                f"{self._name(task)}  epoch {standing.finished}/{task.recipe.epochs}"
                f"  loss {_number(standing.loss, 4)}  Top-1 {_share(standing.top_1)}"
                f"  {_number(standing.rate, 0)} images/s{left}"
            )

    def finished(self, task: Task, run: Run, ledger: Ledger) -> None:
        """A line for the run; the table and the pictures are drawn anew."""
        self._now.pop(task.key, None)
        self._done[task.key] = run
        self._say(
            f"{self._name(task)}  {run.outcome} after {run.epochs_done} epochs"
            f"  held out {_share(run.top_1_held_out)}  test {_share(run.top_1_test)}"
            f"  {_time(run.seconds)}" + (f"\n  {run.reason}" if run.reason else "")
        )
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._redraw(ledger)
            self._drawn = time.monotonic()

    def failed(self, task: Task, why: str) -> None:
        """A line that says so."""
        self._now.pop(task.key, None)
        self._broken[task.key] = why
        self._say(f"{self._name(task)}  could not be made: {why}", style="red")

    def stop(self) -> bool:
        """True once Ctrl-C was pressed."""
        return self._stopping.asked

    def table(self) -> RenderableType:
        """The runs, those under way first where not all fit on the screen."""
        from rich.table import Table

        columns = [*self._fields, "seed", "state", "epoch", "loss", "Top-1", "images/s", "left"]
        drawn = Table(*columns, box=None, padding=(0, 2, 0, 0), title=self._headline())
        keys = list(self._tasks)
        room = max(self._console.height - MARGIN, 4)
        if len(keys) > room:
            ended = [key for key in keys if key in self._done or key in self._broken]
            under_way = [key for key in keys if key in self._now]
            waiting = [key for key in keys if key not in {*ended, *under_way}]
            spare = max(room - len(under_way), 2)
            keys = [*ended[-(spare // 2) :], *under_way, *waiting][:room]
        for key in keys:
            drawn.add_row(*self._cells(self._tasks[key]))
        return drawn

    def _headline(self) -> str:
        total = len(self._tasks)
        ended = len(self._done) + len(self._broken)
        seconds = self._left()
        left = "" if seconds is None else f", about {_time(seconds)} left"
        stopping = "  stopping ..." if self._stopping.asked else ""
        return f"{self._there + ended} of {self._there + total} runs{left}{stopping}"

    def _left(self) -> float | None:
        """Seconds to the end, from the runs under way; the waiting ones count as their mean."""
        under_way = [now for now in self._now.values() if now.left and now.step]
        if not under_way:
            return None
        lefts = [now.left or 0.0 for now in under_way]
        whole = [
            left * now.steps / max(now.steps - now.step, 1)
            for left, now in zip(lefts, under_way, strict=True)
        ] + [run.seconds for run in self._done.values()]
        waiting = len(self._tasks) - len(self._done) - len(self._broken) - len(under_way)
        return (sum(lefts) + waiting * sum(whole) / len(whole)) / len(under_way)

    def _cells(self, task: Task) -> list[str]:
        from vizinho.train.sweep.grid import show

        cells = [show(getattr(task.recipe, field)) for field in self._fields]
        cells.append(str(task.recipe.seed))
        epochs = task.recipe.epochs
        if (run := self._done.get(task.key)) is not None:
            top_1 = run.top_1_test if run.top_1_test is not None else run.top_1_held_out
            colour = "green" if run.outcome == "ok" else "red"
            return [
                *cells,
                f"[{colour}]{run.outcome}[/]",
                f"{run.epochs_done}/{epochs}",
                _number(run.final_loss, 4),
                _share(top_1),
                _number(run.images_per_second, 0),
                "",
            ]
        if task.key in self._broken:
            return [*cells, "[red]failed[/]"]
        if (now := self._now.get(task.key)) is not None:
            return [
                *cells,
                "[bold]training[/]" if now.finished < epochs else "[bold]measuring[/]",
                f"{min(now.finished + 1, epochs)}/{epochs}",
                _number(now.loss, 4),
                _share(now.top_1),
                _number(now.rate, 0),
                _time(now.left) if now.left else "",
            ]
        return [*cells, "[dim]waiting[/]"]

    def _name(self, task: Task) -> str:
        from vizinho.train.sweep.grid import show

        told = [f"{field} {show(getattr(task.recipe, field))}" for field in self._fields]
        return ", ".join([*told, f"seed {task.recipe.seed}"])

    def _say(self, text: str, **style: Any) -> None:
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, **style)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"
