"""A sweep's cells are made to fit its set, as `vizinho train` makes its one recipe fit."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vizinho.datasets import LabelledImages  # noqa: E402
from vizinho.train.sweep.fit import Fit, is_fixed  # noqa: E402
from vizinho.train.sweep.grid import build, protocol  # noqa: E402

pytestmark = pytest.mark.train

AXES = {"loss": ("softmax", "supcon")}


@pytest.fixture
def photos() -> LabelledImages:
    """400 pictures of 8 classes; one class has a single picture."""
    labels = np.array([*(i % 7 for i in range(399)), 7])
    return LabelledImages("photos", None, [""] * 400, labels, list("abcdefgh"))


def test_400_pictures_are_not_trained_on_in_one_batch(photos):
    grid = build("fast", axes=AXES, make=Fit(photos))
    for cell in grid.cells:
        assert cell.recipe.holdout == 50
        assert cell.recipe.batch_size <= 350 // 16
        assert cell.recipe.keep_together


def test_what_was_told_stays(photos):
    told = {"epochs": 1, "batch_size": 40}
    grid = build("fast", axes={"holdout": (20, 30)}, told=told, make=Fit(photos))
    assert [cell.recipe.holdout for cell in grid.cells] == [20, 30]
    assert {(cell.recipe.epochs, cell.recipe.batch_size) for cell in grid.cells} == {(1, 40)}


def test_a_note_says_in_how_many_cells(photos):
    fit = Fit(photos)
    build("fast", axes=AXES, told={"epochs": 1}, make=fit)
    assert "holdout is 50, not 2000: there are 400 pictures." in fit.notes()
    [balanced] = [note for note in fit.notes() if note.startswith("per_class")]
    assert balanced.endswith("(1 of 2 cells)")


def test_the_report_has_every_value_that_cells_differ_in(photos):
    grid = build("fast", axes=AXES, told={"epochs": 1}, make=Fit(photos))
    sizes = [cell.recipe.batch_size for cell in grid.cells]
    assert sizes[0] != sizes[1]
    assert f"batch_size {sizes[0]} or {sizes[1]}" in "\n".join(protocol(grid))


def test_sets_that_recipes_are_made_for_stay_as_told():
    assert is_fixed("cifar10:train")
    assert is_fixed("CIFAR100")
    assert not is_fixed("./cifar10-photos")
    assert build("quick", axes=AXES, make=Fit(None)) == build("quick", axes=AXES)
