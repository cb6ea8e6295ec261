"""Explaining a gallery's matches: its model loaded a second time, when first asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from vizinho.errors import NotExplainable

# A search should start in no time, so what only explaining needs is imported there.
if TYPE_CHECKING:
    from vizinho.explain import Explainer

Model = tuple[Path, str, str]
"""A model's folder, its fingerprint, and the precision of its network."""


class Explaining:
    """What explains the matches of one gallery; another model is taken up when it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: tuple[Model, bool] | None = None
        self._loaded: tuple[Model, Explainer | NotExplainable] | None = None

    def possible(self, model: Model) -> bool:
        """Whether the network's end can be explained; reads it once, loads nothing."""
        from vizinho.explain import explainable

        with self._lock:
            if self._asked is None or self._asked[0] != model:
                self._asked = (model, explainable(model[0], model[2]))
            return self._asked[1]

    def explainer(self, model: Model) -> Explainer:
        """The model that explains. Raises BundleError, NotExplainable."""
        from vizinho.explain import Explainer

        with self._lock:
            if self._loaded is None or self._loaded[0] != model:
                found: Explainer | NotExplainable
                try:
                    found = Explainer.open(model[0], precision=model[2])
                except NotExplainable as error:
                    # Kept too: its network is not read again to say the same.
                    found = error
                self._loaded = (model, found)
            _, found = self._loaded
        if isinstance(found, NotExplainable):
            raise NotExplainable(found.message, found.hint)
        return found
