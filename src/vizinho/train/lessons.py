"""Which trainings one command makes: the teachers that its recipe names, then the student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from vizinho.errors import SettingsError
from vizinho.train import checkpoint
from vizinho.train.recipes import Recipe
from vizinho.train.recipes import recipe as named

#: A teacher that is trained first starts with this, then comes the name of its recipe.
BY_RECIPE: Final = "recipe:"

#: Fields that decide which images are learned from, and how large they are: a teacher must neither
#: learn from what the student holds out nor know other classes.
OF_THE_DATA: Final = ("size", "low_size", "holdout", "keep_together", "unseen")


def trainings(recipe: Recipe, run: Path) -> list[tuple[Recipe, Path]]:
    """Each training that leads to ``recipe``'s network with its folder, in order, itself the last.

    Raises ``SettingsError`` for a teacher's recipe that is unknown or has a teacher of its own.
    """
    if not recipe.teacher.startswith(BY_RECIPE):
        return [(recipe, run)]
    teachers = [(teacher(recipe, i), place) for i, place in enumerate(places(recipe, run))]
    return [*teachers, (recipe, run)]


def places(recipe: Recipe, run: Path) -> list[Path]:
    """The folders of the teachers that are trained by recipe."""
    return [run / f"teacher-{number}" for number in range(recipe.teachers)]


def teacher(recipe: Recipe, number: int) -> Recipe:
    """What the teacher ``number`` of a student is told; teachers differ in their seed alone."""
    told = named(
        recipe.teacher.removeprefix(BY_RECIPE).strip(),
        network=recipe.teacher_network or None,
        epochs=recipe.teacher_epochs or None,
    )
    if told.teacher:
        raise SettingsError(
            f"{recipe.teacher!r} can't be a teacher: it learns from {told.teacher!r} itself.",
            "Name a recipe without a teacher, as record-teacher.",
        )
    return replace(
        told,
        seed=number,
        split_seed=recipe.holding_out,
        **{field: getattr(recipe, field) for field in OF_THE_DATA},
    )


def is_finished(run: Path, recipe: Recipe) -> bool:
    """Whether ``run`` holds this training, made to its end.

    Raises ``TrainingError`` when it holds another.
    """
    file = run / "checkpoint.pt"
    if not file.exists():
        return False
    state = checkpoint.load(file)
    checkpoint.check_same(file, state, recipe, state["data"])
    return len(state["progress"]["records"]) >= recipe.epochs
