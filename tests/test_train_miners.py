from __future__ import annotations

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.distances import (  # noqa: E402
    batch_distances,
    pairwise_distances,
    pairwise_squared_distances,
    partners,
)
from vizinho.train.miners import MINERS, batch_all, batch_hard, miner, semi_hard  # noqa: E402

Found = set[tuple[int, int, int]]


def batch(count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    centres = torch.randn(classes, 5, generator=generator)
    return centres[labels] + torch.randn(count, 5, generator=generator), labels


BATCHES = {
    "even": batch(40, 4, 0),
    "sparse": batch(30, 15, 1),
    "loners": (batch(12, 3, 2)[0], torch.arange(12)),
    "one class": (batch(12, 3, 3)[0], torch.zeros(12, dtype=torch.long)),
    "two images": (batch(2, 2, 4)[0], torch.tensor([0, 0])),
}


def as_set(triplets: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> Found:
    anchor, positive, negative = triplets
    assert anchor.shape == positive.shape == negative.shape
    assert anchor.dtype == positive.dtype == negative.dtype == torch.int64
    rows = list(zip(anchor.tolist(), positive.tolist(), negative.tolist(), strict=True))
    assert len(rows) == len(set(rows))
    return set(rows)


def slow_pairs(labels: torch.Tensor) -> list[tuple[int, list[int], list[int]]]:
    marks = labels.tolist()
    everyone = range(len(marks))
    return [
        (
            a,
            [p for p in everyone if p != a and marks[p] == marks[a]],
            [n for n in everyone if marks[n] != marks[a]],
        )
        for a in everyone
    ]


def squares(embeddings: torch.Tensor) -> torch.Tensor:
    return batch_distances(embeddings, "squared")


def squared(embeddings: torch.Tensor, i: int, j: int) -> float:
    return float((embeddings[i] - embeddings[j]).square().sum())


@pytest.mark.parametrize("name", BATCHES)
def test_batch_all_is_every_triplet(name: str) -> None:
    embeddings, labels = BATCHES[name]
    expected = {(a, p, n) for a, near, far in slow_pairs(labels) for p in near for n in far}
    assert as_set(batch_all(squares(embeddings), labels)) == expected


@pytest.mark.parametrize("name", BATCHES)
def test_batch_hard_is_the_worst_of_each_anchor(name: str) -> None:
    embeddings, labels = BATCHES[name]
    expected = {
        (
            a,
            max(near, key=lambda p: squared(embeddings, a, p)),
            min(far, key=lambda n: squared(embeddings, a, n)),
        )
        for a, near, far in slow_pairs(labels)
        if near and far
    }
    assert as_set(batch_hard(squares(embeddings), labels)) == expected


@pytest.mark.parametrize("margin", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("name", BATCHES)
def test_semi_hard_is_the_next_farther_negative_of_each_pair(name: str, margin: float) -> None:
    embeddings, labels = BATCHES[name]
    expected = set()
    for a, near, far in slow_pairs(labels):
        for p in near:
            ceiling = squared(embeddings, a, p) + margin
            band = [n for n in far if ceiling - margin < squared(embeddings, a, n) < ceiling]
            if band:
                expected.add((a, p, min(band, key=lambda n: squared(embeddings, a, n))))
    assert as_set(semi_hard(squares(embeddings), labels, margin)) == expected


def test_semi_hard_of_one_point_is_nothing() -> None:
    assert as_set(semi_hard(squares(torch.ones(8, 3)), torch.arange(8) % 2, 1.0)) == set()


def test_miners_go_by_name() -> None:
    embeddings, labels = BATCHES["even"]
    distances = squares(embeddings)
    by_hand = {
        "batch-all": batch_all(distances, labels),
        "batch-hard": batch_hard(distances, labels),
        "semi-hard": semi_hard(distances, labels, 0.3),
    }
    assert set(MINERS) == set(by_hand)
    for name, triplets in by_hand.items():
        assert as_set(miner(name, 0.3)(distances, labels)) == as_set(triplets)
    with pytest.raises(SettingsError, match="easy"):
        miner("easy", 0.3)


def test_mining_follows_no_gradient() -> None:
    embeddings, labels = BATCHES["even"]
    learning = squares(embeddings.clone().requires_grad_())
    for name in MINERS:
        assert not any(column.requires_grad for column in miner(name, 1.0)(learning, labels))


@pytest.mark.parametrize("name", BATCHES)
def test_partners_are_the_others_of_the_class(name: str) -> None:
    labels = BATCHES[name][1]
    found, meant = partners(labels)
    for a, near, _ in slow_pairs(labels):
        assert sorted(found[a][meant[a]].tolist()) == near


def test_distances_are_those_of_the_loop_and_differentiable() -> None:
    first, second = batch(7, 2, 5)[0].requires_grad_(), batch(9, 2, 6)[0]
    found = pairwise_squared_distances(first, second)
    expected = (first[:, None] - second[None]).square().sum(2)
    assert torch.allclose(found, expected, atol=1e-5)
    gradient = torch.autograd.grad(found.sum(), first)[0]
    assert torch.allclose(gradient, torch.autograd.grad(expected.sum(), first)[0], atol=1e-4)


def test_distances_are_never_negative_and_zero_to_itself() -> None:
    near = 1000 + torch.rand(50, 64, generator=torch.Generator().manual_seed(0)) * 1e-4
    found = pairwise_squared_distances(near)
    assert (found >= 0).all()
    assert (found.diagonal() == 0).all()


def test_distances_stay_float32_under_autocast() -> None:
    embeddings = batch(20, 2, 7)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pairwise_squared_distances(embeddings.bfloat16())
    assert found.dtype == torch.float32
    rounded = embeddings.bfloat16().float()
    expected = (rounded[:, None] - rounded).square().sum(2)
    assert torch.allclose(found, expected, atol=1e-4)


def test_plain_distances_have_finite_gradients_everywhere() -> None:
    points = torch.tensor([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]], requires_grad=True)
    found = pairwise_distances(points)
    assert found.flatten().tolist() == pytest.approx([0, 0, 5, 0, 0, 5, 5, 5, 0])
    found.sum().backward()
    # Pulled along (3, 4) / 5, counted from both ends, once from each of the two at one place.
    assert points.grad[0].tolist() == pytest.approx([-1.2, -1.6])
    assert points.grad[2].tolist() == pytest.approx([2.4, 3.2])


def test_distances_far_from_the_origin_are_exact() -> None:
    near = torch.rand(20, 8, generator=torch.Generator().manual_seed(1))
    moved = pairwise_distances(near + 4096)
    expected = torch.cdist((near + 4096).double(), (near + 4096).double())
    assert torch.allclose(moved.double(), expected, atol=2e-3)
    assert (moved.diagonal() == 0).all()
