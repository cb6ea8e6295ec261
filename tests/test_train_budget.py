"""Epochs out of a time: the arithmetic, on speeds that were made up."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from vizinho.errors import SettingsError
from vizinho.train import budget
from vizinho.train.budget import Speed, parse_duration, planned
from vizinho.train.recipes import recipe

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "20 m", "-5m", "0s", "5d"])
def test_no_durations(text):
    with pytest.raises(SettingsError):
        parse_duration(text)


class TestPlanned:
    speed = Speed({24: 10.0, 32: 20.0}, measuring=1.0, ending=15.0)

    def test_as_many_epochs_as_fit(self):
        made, said = planned(recipe("fast"), self.speed, 200)
        # 7 epochs: 4 small ones, 3 large ones, 7 measured: 107 s; 11: 7, 4, 11: 161 s.
        assert made.epochs == 11
        assert budget.cost(made, self.speed) == 161
        assert "11 epochs, 7 of them on pictures of 24 pixels" in said
        assert planned(recipe("fast"), self.speed, 1e9)[0].epochs == budget.MOST_EPOCHS

    def test_one_epoch_is_of_whole_pictures_where_these_fit(self):
        made, said = planned(recipe("fast"), self.speed, 40)
        assert (made.epochs, made.low_share) == (1, 0)
        assert "1 epoch (" in said
        made, said = planned(recipe("fast"), self.speed, 30)
        assert (made.epochs, round(made.low_share)) == (1, 1)
        assert "too short" not in said

    def test_too_short_is_told_and_trains_one_epoch(self):
        made, said = planned(recipe("fast"), self.speed, 10)
        assert made.epochs == 1
        assert said.startswith("The time is too short: even one epoch and the export take about 26")

    def test_a_schedule_in_steps_keeps_its_shape(self):
        made, _ = planned(recipe("thesis"), Speed({32: 10.0}, 0.0, 0.0), 420)
        assert (made.epochs, made.step_epochs) == (40, 4)
