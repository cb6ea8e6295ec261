"""Training batches: every image once, shifted within bounds, mirrored in turn, repeatable."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import vizinho.preprocess as core  # noqa: E402
from vizinho.train.batches import Batches, normalise  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)


def drawn(batches: Batches, epoch: int, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
    images, labels, _ = zip(*batches.epoch(epoch, skip), strict=True)
    return torch.cat(images).numpy(), torch.cat(labels).numpy()


def test_without_changes_an_epoch_is_a_permutation(images):
    batches = Batches(images, np.arange(50), batch_size=10, shift=0, mirror=False)
    found, labels = drawn(batches, 0)
    assert sorted(labels) == list(range(50))
    assert np.array_equal(found, images[labels])
    assert not np.array_equal(labels, drawn(batches, 1)[1])


def test_an_epoch_repeats_and_a_skip_goes_on(images):
    batches = Batches(images, np.arange(50), batch_size=10, seed=4)
    again = Batches(images, np.arange(50), batch_size=10, seed=4)
    whole, labels = drawn(batches, 7)
    rest, rest_labels = drawn(again, 7, skip=2)
    assert np.array_equal(whole[20:], rest)
    assert np.array_equal(labels[20:], rest_labels)


def test_mirrored_in_every_other_epoch(images):
    batches = Batches(images, np.arange(50), batch_size=50, shift=0, seed=1)
    sides = []
    for epoch in range(3):
        found, labels = drawn(batches, epoch)
        straight = (found == images[labels]).all(axis=(1, 2, 3))
        turned = (found == images[labels][:, :, ::-1]).all(axis=(1, 2, 3))
        assert (straight ^ turned).all()
        sides.append(straight[np.argsort(labels)])
    assert 10 < sides[0].sum() < 40
    assert (sides[0] != sides[1]).all()
    assert (sides[0] == sides[2]).all()


def test_shifted_both_ways_by_at_most_two_pixels(images):
    batches = Batches(images, np.arange(50), batch_size=50, shift=2, mirror=False)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = set()
    for epoch in range(4):
        found, labels = drawn(batches, epoch)
        for image, label in zip(found, labels, strict=True):
            places = [
                (top, left)
                for top in range(5)
                for left in range(5)
                if np.array_equal(image, padded[label, top : top + 8, left : left + 8])
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) == 25


def test_the_left_over_sit_out(images):
    batches = Batches(images, np.arange(50), batch_size=20)
    assert len(batches) == 2
    assert len(drawn(batches, 0)[1]) == 40


def test_normalised_as_queries_are(images):
    spec = core.PreprocessSpec(size=8, mean=(0.1, 0.5, 0.7), std=(0.2, 0.5, 0.9))
    ours = normalise(torch.from_numpy(images), spec)
    np.testing.assert_allclose(ours.numpy(), core.normalise(images, spec), rtol=1e-5, atol=1e-6)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_a_set_lives_where_it_is_trained_on_unless_it_is_too_large(images, monkeypatch):
    resident = Batches(images, np.arange(50), batch_size=10, device="meta")
    assert resident.images.device.type == resident.home.type == "meta"
    monkeypatch.setattr("vizinho.train.batches.RESIDENT", images.nbytes - 1)
    large = Batches(images, np.arange(50), batch_size=10, device="meta")
    assert large.images.device.type == large.home.type == "cpu"
    for batches in (resident, large):
        first = next(batches.epoch(0))
        assert [part.device.type for part in first] == ["meta"] * 3
        assert first.images.shape == (10, 8, 8, 3)
