"""A search asks the model and its vectors, and a migration may change both in between."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from vizinho.errors import GalleryError, GalleryNotFound


class Switching(Protocol):
    """What may take up another model; ``switches`` grows by two when it does, and is odd in
    between."""

    switches: int

    def _follow(self) -> None:
        """Take up another model, if there is one."""


S = TypeVar("S", bound=Switching)
P = ParamSpec("P")
T = TypeVar("T")


def steady(ask: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """The method ``ask``, asked again when another model was taken up meanwhile."""

    @functools.wraps(ask)
    def asked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            before = self.switches
            try:
                found = ask(self, *args, **kwargs)
            except GalleryError as error:
                if isinstance(error, GalleryNotFound):
                    # In Milvus a migration takes the old collection away from whoever reads it.
                    self._follow()
                if before == self.switches and before % 2 == 0:
                    raise
                continue
            if before == self.switches and before % 2 == 0:
                return found

    return asked
