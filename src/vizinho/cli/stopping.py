"""Ctrl-C: as a wish to stop between two steps, or at once in what can be run again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from vizinho.cli.console import err, report_error
from vizinho.errors import DeployError


class Stopping:
    """``asked`` is True once Ctrl-C was pressed after ``begin``; a second one is the usual one.

    ``say`` is given the line that tells so.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say

    def begin(self) -> None:
        """Takes Ctrl-C over."""
        self._previous = signal.signal(signal.SIGINT, self._interrupted)

    def end(self) -> None:
        """Gives Ctrl-C back."""
        signal.signal(signal.SIGINT, self._previous)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.end()
        self.asked = True
        self._say("Stopping after this step. Ctrl-C again to stop at once.")


@contextmanager
def can_be_run_again(*, as_json: bool) -> Iterator[None]:
    """Ctrl-C inside ends the command with 130, and says that nothing is lost."""
    stopped, hint = "Stopped.", "Run it again: it goes on where it stopped."
    try:
        yield
    except KeyboardInterrupt:
        if as_json:
            report_error(DeployError(stopped, hint), as_json=True)
        else:
            err().print(f"{stopped} {hint}", markup=False, highlight=False)
        raise typer.Exit(130) from None
