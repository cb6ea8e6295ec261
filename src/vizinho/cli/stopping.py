"""Ctrl-C as a wish to stop between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


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
