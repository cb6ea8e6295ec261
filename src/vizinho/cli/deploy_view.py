"""A deployment's steps in a terminal: one line each, with a bar while it lasts."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Self

from vizinho.cli.console import err, progress
from vizinho.progress import Progress


class DeployView:
    """A `vizinho.aws.deploy.Watcher` that writes to stderr; silent when ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = err()
        self._bars = contextlib.ExitStack()
        self._bar: Progress | None = None
        self._title = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.close()

    def begin(self, step: str, title: str) -> None:
        self._bars.close()
        self._title, self._began = title, time.monotonic()
        self._bar = self._bars.enter_context(progress(title, quiet=self._quiet))
        if self._bar is not None:
            self._bar(0, None)

    def progress(self, done: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar(done, total)

    def say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(f"  {text}", style="dim", markup=False, highlight=False)

    def end(self, step: str, outcome: str) -> None:
        self._bars.close()
        self._bar = None
        if not self._quiet:
            seconds = time.monotonic() - self._began
            took = f" ({seconds:.0f} s)" if seconds >= 1 else ""
            line = f"{self._title:<13} {outcome}{took}"
            self._console.print(line, markup=False, highlight=False)
