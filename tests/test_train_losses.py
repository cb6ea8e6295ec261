"""Losses against slow loops written from the papers' formulas, and pytorch-metric-learning's."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pml = pytest.importorskip("pytorch_metric_learning.losses")

from vizinho.train.losses import NormalisedSoftmax, SupCon, Triplet, WeightedSum  # noqa: E402
from vizinho.train.miners import batch_all, batch_hard, miner  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(24, 6, generator=generator)
    return embeddings, torch.arange(24) % 4


def test_supcon_is_the_papers_sum(batch):
    embeddings, labels = batch
    z = [row / row.norm() for row in embeddings]
    anchors = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        total = sum(math.exp(float(z[i] @ z[j]) / 0.1) for j in others)
        positives = [j for j in others if labels[j] == labels[i]]
        terms = [math.log(math.exp(float(z[i] @ z[j]) / 0.1) / total) for j in positives]
        anchors.append(-sum(terms) / len(terms))
    expected = sum(anchors) / len(anchors)
    assert SupCon(0.1)(embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_supcon_equals_pytorch_metric_learning(batch):
    assert SupCon(0.2)(*batch).item() == pytest.approx(
        pml.SupConLoss(temperature=0.2)(*batch).item(), rel=1e-5
    )


def test_supcon_of_a_batch_without_pairs_is_zero_with_a_gradient():
    embeddings = torch.randn(3, 4, requires_grad=True)
    loss = SupCon()(embeddings, torch.arange(3))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(embeddings.grad).all()


def test_normalised_softmax_is_cross_entropy_of_cosines(batch):
    embeddings, labels = batch
    loss = NormalisedSoftmax(4, 6, temperature=0.2, smoothing=0.1)
    values = []
    for embedding, label in zip(embeddings, labels, strict=True):
        logits = [
            float(embedding @ proxy / embedding.norm() / proxy.norm()) / 0.2
            for proxy in loss.proxies.detach()
        ]
        total = math.log(sum(map(math.exp, logits)))
        wanted = [0.1 / 4 + 0.9 * (i == int(label)) for i in range(4)]
        values.append(sum(w * (total - logit) for w, logit in zip(wanted, logits, strict=True)))
    assert loss(embeddings, labels).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_triplet_by_hand():
    # d(a, p) = 1, d(a, n) = 4, d(p, n) = 9: squared distances on a line at 0, 1 and -2.
    embeddings = torch.tensor([[0.0], [1.0], [-2.0]])
    labels = torch.tensor([0, 0, 1])
    loss = Triplet(5.0, miner("batch-all", 5.0))
    # Anchors 0 and 1: max(0, 1 - 4 + 5) = 2 and max(0, 1 - 9 + 5) = 0.
    assert loss(embeddings, labels).item() == pytest.approx(1.0)
    assert Triplet(9.0, batch_all)(embeddings, labels).item() == pytest.approx((6 + 1) / 2)


def test_triplet_is_a_mean_over_the_mined(batch):
    embeddings, labels = batch
    hinges = []
    for a, p, n in zip(*batch_hard(embeddings, labels), strict=True):
        near = float((embeddings[a] - embeddings[p]).square().sum())
        far = float((embeddings[a] - embeddings[n]).square().sum())
        hinges.append(max(0.0, near - far + 0.5))
    loss = Triplet(0.5, batch_hard)(embeddings, labels)
    assert loss.item() == pytest.approx(sum(hinges) / len(hinges), rel=1e-5)
    assert loss.item() > 0


def test_triplet_without_triplets_is_zero_with_a_gradient():
    embeddings = torch.randn(4, 2, requires_grad=True)
    loss = Triplet(0.3, batch_hard)(embeddings, torch.zeros(4, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None


def test_a_sum_weighs_its_terms_and_takes_any_library_loss(batch):
    theirs, ours = pml.MultiSimilarityLoss(), SupCon()
    both = WeightedSum([theirs, ours], [2.0, 0.5])(*batch)
    assert both.item() == pytest.approx(
        2 * theirs(*batch).item() + 0.5 * ours(*batch).item(), rel=1e-5
    )
