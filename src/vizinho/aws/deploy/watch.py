"""How a deployment says where it is."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Hears of the steps of a deployment or a removal, one after the other.

    ``begin`` opens a step: ``step`` is its short name (see `STEPS`), ``title`` a line for people.
    ``progress`` is how far the open step is. ``say`` is worth telling at once. ``end`` closes the
    step with its outcome in words, such as ``created`` or ``unchanged``.
    """

    def begin(self, step: str, title: str) -> None: ...

    def progress(self, done: int, total: int | None) -> None: ...

    def say(self, text: str) -> None: ...

    def end(self, step: str, outcome: str) -> None: ...


class Quiet:
    """A watcher that looks away."""

    def begin(self, step: str, title: str) -> None:
        pass

    def progress(self, done: int, total: int | None) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def end(self, step: str, outcome: str) -> None:
        pass


STEPS = {
    "account": "Account",
    "bucket": "Bucket",
    "pictures": "Pictures",
    "gallery": "Gallery",
    "package": "Package",
    "app": "Page's place",
    "function": "Function",
    "page": "Page",
    "answer": "First query",
    "tidy": "Tidying up",
}
"""The steps of a deployment in their order, with their titles."""
