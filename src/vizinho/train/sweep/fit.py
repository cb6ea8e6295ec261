"""The cells of a sweep made to fit its set, each as ``vizinho train`` would make it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vizinho.datasets import LabelledImages
from vizinho.train.chosen import choose
from vizinho.train.fitting import FIXED
from vizinho.train.recipes import Recipe, recipe


def is_fixed(dataset: str) -> bool:
    """Whether ``dataset`` is a set that recipes are made for: its cells stay as they are told."""
    return dataset.partition(":")[0].lower() in FIXED


class Fit:
    """Makes recipes for one set, and remembers what it changed.

    ``dataset`` None leaves every recipe as it is told.
    """

    def __init__(self, dataset: LabelledImages | None) -> None:
        self._dataset = dataset
        self._notes: dict[str, int] = {}
        self._made = 0

    def __call__(self, base: str, told: Mapping[str, Any]) -> Recipe:
        """The recipe ``base`` with the fields that were ``told``, the rest made to fit."""
        if self._dataset is None:
            return recipe(base, **told)
        made, notes = choose(base, told, self._dataset)
        self._made += 1
        for note in notes:
            self._notes[note] = self._notes.get(note, 0) + 1
        return made

    def notes(self) -> list[str]:
        """A line on each change, with the number of cells where it is not made in all."""
        return [
            note if count == self._made else f"{note} ({count} of {self._made} cells)"
            for note, count in self._notes.items()
        ]
