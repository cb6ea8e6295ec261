"""Recipes told in words: ``--set`` and a sweep's grid."""

from __future__ import annotations

from dataclasses import fields

import pytest

from vizinho.errors import SettingsError
from vizinho.train.recipes import Recipe, changes, parse, recipe


def test_words_become_values_of_the_fields_type():
    told = changes(["margin=0.5", "epochs = 3", "normalise=no", "loss=triplet"])
    assert told == {"margin": 0.5, "epochs": 3, "normalise": False, "loss": "triplet"}
    assert recipe("fast", **told).normalise is False


@pytest.mark.parametrize("text", ["epochs=three", "normalise=perhaps", "depth=3", "epochs"])
def test_words_that_make_no_sense_are_told(text):
    with pytest.raises(SettingsError):
        changes([text])


@pytest.mark.parametrize("field", [each.name for each in fields(Recipe)])
def test_every_field_can_be_told_in_words(field):
    value = getattr(recipe("fast"), field)
    made = recipe("fast", **{field: parse(field, str(value))})
    assert getattr(made, field) == value


@pytest.mark.parametrize("told", [{"teacher": "model"}, {"distil": 0.5}, {"distil": 1.5}])
def test_a_teacher_needs_a_share_of_the_loss(told):
    with pytest.raises(SettingsError):
        recipe("fast", **told)


@pytest.mark.parametrize(
    ("told", "micro"), [({}, 100), ({"batch_size": 96}, 96), ({"batch_size": 1009}, 124)]
)
def test_a_micro_batch_follows_the_groups_of_a_class(told, micro):
    assert recipe("fast", per_class=4, **told).micro_batch == micro
    with pytest.raises(SettingsError, match="multiple of per_class"):
        recipe("fast", per_class=4, micro_batch=125, **told)
