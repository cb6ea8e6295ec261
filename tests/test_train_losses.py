"""Triplet losses and sums against slow loops, hand-worked numbers and pytorch-metric-learning."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
pml = pytest.importorskip("pytorch_metric_learning.losses")
from pytorch_metric_learning.distances import LpDistance  # noqa: E402
from pytorch_metric_learning.reducers import MeanReducer  # noqa: E402

from vizinho.train import losses  # noqa: E402
from vizinho.train.losses import SoftTriplet, Triplet, WeightedSum  # noqa: E402
from vizinho.train.miners import batch_hard  # noqa: E402
from vizinho.train.pair_losses import SupCon  # noqa: E402

pytestmark = pytest.mark.train

Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(params=["even", "uneven"])
def batch(request) -> Batch:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(24, 6, generator=generator)
    uneven = torch.tensor([0] * 15 + [1] * 5 + [2] * 3 + [3])
    return embeddings, torch.arange(24) % 4 if request.param == "even" else uneven


def gap(embeddings: torch.Tensor, distance: str, a: int, p: int, n: int) -> float:
    """d(a, p) - d(a, n)."""
    near = float((embeddings[a] - embeddings[p]).square().sum())
    far = float((embeddings[a] - embeddings[n]).square().sum())
    return near - far if distance == "squared" else math.sqrt(near) - math.sqrt(far)


def every_triplet(labels: torch.Tensor) -> Iterator[tuple[int, int, int]]:
    marks = labels.tolist()
    for a, of_a in enumerate(marks):
        for p, of_p in enumerate(marks):
            for n, of_n in enumerate(marks):
                if of_a == of_p and a != p and of_n != of_a:
                    yield a, p, n


def theirs(distance: str, **told) -> pml.TripletMarginLoss:
    power = {"squared": 2, "euclidean": 1}[distance]
    plain = LpDistance(normalize_embeddings=False, power=power)
    return pml.TripletMarginLoss(distance=plain, reducer=MeanReducer(), **told)


def test_triplet_by_hand():
    # d(a, p) = 1, d(a, n) = 4, d(p, n) = 9: squared distances on a line at 0, 1 and -2.
    embeddings = torch.tensor([[0.0], [1.0], [-2.0]])
    labels = torch.tensor([0, 0, 1])
    # Anchors 0 and 1: max(0, 1 - 4 + 5) = 2 and max(0, 1 - 9 + 5) = 0.
    assert Triplet(5.0, "batch-all")(embeddings, labels).item() == pytest.approx(1.0)
    assert Triplet(9.0, "batch-all")(embeddings, labels).item() == pytest.approx((6 + 1) / 2)
    # Plain distances: max(0, 1 - 2 + 1.5) = 0.5 and max(0, 1 - 3 + 1.5) = 0.
    plain = Triplet(1.5, "batch-all", "euclidean")
    assert plain(embeddings, labels).item() == pytest.approx(0.25)
    soft = (math.log1p(math.exp(1 - 2)) + math.log1p(math.exp(1 - 3))) / 2
    assert SoftTriplet("batch-all", "euclidean")(embeddings, labels).item() == pytest.approx(soft)


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("margin", [0.3, 4.0, None])
def test_all_triplets_are_the_slow_loops_and_pytorch_metric_learnings(batch, distance, margin):
    embeddings, labels = batch
    gaps = [gap(embeddings, distance, *triplet) for triplet in every_triplet(labels)]
    if margin is None:
        ours: torch.nn.Module = SoftTriplet("batch-all", distance)
        other = theirs(distance, margin=0.0, smooth_loss=True)
        terms = [math.log1p(math.exp(x)) for x in gaps]
    else:
        ours, other = Triplet(margin, "batch-all", distance), theirs(distance, margin=margin)
        terms = [max(0.0, x + margin) for x in gaps]
    assert ours(embeddings, labels).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    assert gradient(ours, batch) == pytest.approx(gradient(other, batch), abs=2e-5)


def gradient(loss: torch.nn.Module, batch: Batch) -> list[float]:
    """The loss itself, then its gradient on every number of the embeddings."""
    embeddings = batch[0].clone().requires_grad_()
    value = loss(embeddings, batch[1])
    value.backward()
    return [value.item(), *embeddings.grad.flatten().tolist()]


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("kind", ["hinge", "soft"])
@pytest.mark.parametrize("mining", ["batch-hard", "semi-hard"])
def test_a_mined_triplet_loss_is_a_mean_over_the_mined(batch, distance, kind, mining):
    embeddings, labels = batch
    loss = Triplet(0.5, mining, distance) if kind == "hinge" else SoftTriplet(mining, distance)
    seen = []

    def spy(distances, labels, mine=loss.miner):
        seen[:] = zip(*mine(distances, labels), strict=True)
        return tuple(torch.tensor(column) for column in zip(*seen, strict=True))

    loss.miner = spy
    value = loss(embeddings, labels).item()
    gaps = [gap(embeddings, distance, *triplet) for triplet in seen]
    terms = [max(0.0, x + 0.5) if kind == "hinge" else math.log1p(math.exp(x)) for x in gaps]
    assert len(terms) > 5
    assert value == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_any_miner_will_do(batch):
    by_name, handed = Triplet(0.5, "batch-hard"), Triplet(0.5, batch_hard)
    assert handed(*batch).item() == by_name(*batch).item() > 0


def test_soft_triplets_in_blocks_are_those_at_once(batch, monkeypatch):
    loss = SoftTriplet("batch-all", "euclidean")
    at_once = gradient(loss, batch)
    monkeypatch.setattr(losses, "BLOCK", 1)
    assert gradient(loss, batch) == pytest.approx(at_once, abs=1e-6)


def test_long_embeddings_lose_no_triplet_to_rounding():
    # Squared distances near a million, apart by less than the margin.
    embeddings = torch.tensor([[0.0], [1000.0], [-1000.0001]])
    labels = torch.tensor([0, 0, 1])
    embeddings.requires_grad_()
    Triplet(0.5, "batch-all", "euclidean")(embeddings, labels).backward()
    # Anchor 0 alone is within the margin: pulled to 1000, pushed from -1000.
    assert embeddings.grad.flatten().tolist() == pytest.approx([-1.0, 0.5, 0.5])


def test_a_sum_weighs_its_terms_and_takes_any_library_loss(batch):
    other, ours = pml.MultiSimilarityLoss(), SupCon()
    both = WeightedSum([other, ours], [2.0, 0.5])(*batch)
    assert both.item() == pytest.approx(
        2 * other(*batch).item() + 0.5 * ours(*batch).item(), rel=1e-5
    )
