"""Balanced epochs: every class as often, every image in its turn, repeatable."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.batches import Batches  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402
from vizinho.train.sampling import balanced  # noqa: E402

pytestmark = pytest.mark.train


def dealt(labels: list[int], per_class: int, length: int, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    return balanced(torch.tensor(labels), per_class, length, generator).numpy()


def test_each_run_is_of_one_class_and_classes_take_turns():
    labels = np.repeat([0, 1, 2, 5], [100, 10, 3, 40])
    order = dealt(labels.tolist(), 5, 200)
    runs = labels[order].reshape(-1, 5)
    assert (runs == runs[:, :1]).all()
    for start in range(0, 40, 4):
        assert set(runs[start : start + 4, 0]) == {0, 1, 2, 5}
    # Where the rest of a length cuts a run, the classes still differ by one run at most.
    assert len(dealt(labels.tolist(), 5, 203)) == 203


def test_an_image_comes_again_only_after_all_of_its_class():
    labels = np.repeat([0, 1], [30, 6])
    order = dealt(labels.tolist(), 4, 64)
    counts = np.bincount(order, minlength=36)
    assert counts[:30].max() - counts[:30].min() <= 1
    assert counts[30:].max() - counts[30:].min() <= 1
    assert counts[30:].sum() == 32
    for run in order.reshape(-1, 4):
        assert len(set(run)) == 4


def test_a_class_smaller_than_a_run_repeats_itself():
    order = dealt([0, 1, 1, 1, 1], 4, 8)
    assert (order == 0).sum() == 4
    assert sorted(order[order > 0]) == [1, 2, 3, 4]


def test_an_epoch_repeats_and_another_differs():
    labels = np.random.default_rng(0).integers(0, 7, 200)
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)

    def indices(epoch: int, skip: int = 0) -> np.ndarray:
        batches = Batches(images, labels, batch_size=40, per_class=4, micro_batch=20, seed=2)
        return np.concatenate([batch.indices.numpy() for batch in batches.epoch(epoch, skip)])

    whole = indices(3)
    assert len(whole) == 200
    assert np.array_equal(whole[80:], indices(3, skip=2))
    assert not np.array_equal(whole, indices(4))
    # Seven classes, five in each micro-batch: also where two rounds meet they are five.
    for micro in whole.reshape(-1, 20):
        assert sorted(np.bincount(labels[micro])[np.unique(labels[micro])]) == [4] * 5


def test_a_micro_batch_holds_whole_groups():
    with pytest.raises(SettingsError, match="multiple of per_class"):
        recipe("fast", per_class=4, micro_batch=125)
    assert recipe("fast", per_class=5).micro_batch == 125
