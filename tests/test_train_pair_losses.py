"""Losses over pairs against slow loops from the papers and pytorch-metric-learning's."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pml = pytest.importorskip("pytorch_metric_learning.losses")
from pytorch_metric_learning.distances import LpDistance  # noqa: E402
from pytorch_metric_learning.miners import MultiSimilarityMiner  # noqa: E402

from vizinho.train.pair_losses import Contrastive, MultiSimilarity, NTXent, SupCon  # noqa: E402

pytestmark = pytest.mark.train

Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def batch() -> Batch:
    """24 embeddings of four classes that lie apart, but not wholly."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 5 + [3])
    centres = torch.randn(4, 6, generator=generator)
    return centres[labels] + torch.randn(24, 6, generator=generator), labels


def cosines(embeddings: torch.Tensor) -> list[list[float]]:
    unit = [row / row.norm() for row in embeddings]
    return [[float(a @ b) for b in unit] for a in unit]


def kin(labels: torch.Tensor) -> list[tuple[int, list[int], list[int]]]:
    """Each anchor with its positives and its negatives."""
    marks = labels.tolist()
    count = range(len(marks))
    return [
        (
            a,
            [p for p in count if p != a and marks[p] == marks[a]],
            [n for n in count if marks[n] != marks[a]],
        )
        for a in count
    ]


def check_equal(ours: torch.nn.Module, theirs, batch: Batch) -> None:
    found = []
    for loss in (ours, theirs):
        embeddings = batch[0].clone().requires_grad_()
        value = loss(embeddings, batch[1])
        value.backward()
        found.append([value.item(), *embeddings.grad.flatten().tolist()])
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=2e-5)
    assert abs(found[0][0]) > 0.01


def test_contrastive_by_hand():
    # On a line at 0, 0.6 and 0.8, the last of another class: d = 0.6, 0.8 and 0.2.
    embeddings, labels = torch.tensor([[0.0], [0.6], [0.8]]), torch.tensor([0, 0, 1])
    squared = 0.6**2 + (0.2**2 + 0.8**2) / 2
    assert Contrastive(1.0)(embeddings, labels).item() == pytest.approx(squared)
    plain = 0.6 + (0.2 + 0.8) / 2
    assert Contrastive(1.0, "euclidean")(embeddings, labels).item() == pytest.approx(plain)
    # With a margin of 0.5 the pair at 0.8 is where it belongs and isn't averaged.
    assert Contrastive(0.5)(embeddings, labels).item() == pytest.approx(0.6**2 + 0.3**2)


def test_contrastive_equals_pytorch_metric_learning(batch):
    theirs = pml.ContrastiveLoss(neg_margin=3.0, distance=LpDistance(normalize_embeddings=False))
    check_equal(Contrastive(3.0, "euclidean"), theirs, batch)


def test_nt_xent_is_the_papers_sum(batch):
    embeddings, labels = batch
    s = cosines(embeddings)
    terms = []
    for a, near, far in kin(labels):
        against = sum(math.exp(s[a][n] / 0.2) for n in far)
        own = [math.exp(s[a][p] / 0.2) for p in near]
        terms += [-math.log(e / (e + against)) for e in own]
    expected = sum(terms) / len(terms)
    assert NTXent(0.2)(embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_nt_xent_equals_pytorch_metric_learning(batch):
    check_equal(NTXent(0.2), pml.NTXentLoss(temperature=0.2), batch)


def test_supcon_is_the_papers_sum(batch):
    embeddings, labels = batch
    s = cosines(embeddings)
    anchors = []
    for a, near, far in kin(labels):
        total = sum(math.exp(s[a][j] / 0.1) for j in near + far)
        if near:
            terms = [math.log(math.exp(s[a][p] / 0.1) / total) for p in near]
            anchors.append(-sum(terms) / len(terms))
    expected = sum(anchors) / len(anchors)
    assert SupCon(0.1)(embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_supcon_equals_pytorch_metric_learning(batch):
    check_equal(SupCon(0.2), pml.SupConLoss(temperature=0.2), batch)


def test_multi_similarity_is_the_papers_sum(batch):
    embeddings, labels = batch
    s = cosines(embeddings)
    total, kept = 0.0, 0
    for a, near, far in kin(labels):
        pulled = [p for p in near if s[a][p] - 0.1 < max(s[a][n] for n in far)]
        pushed = [n for n in far if near and s[a][n] + 0.1 > min(s[a][p] for p in near)]
        total += math.log1p(sum(math.exp(-2 * (s[a][p] - 0.5)) for p in pulled)) / 2
        total += math.log1p(sum(math.exp(50 * (s[a][n] - 0.5)) for n in pushed)) / 50
        kept += len(pulled) + len(pushed)
    assert 0 < kept < 23 * 24
    loss = MultiSimilarity(0.1, alpha=2, beta=50, base=0.5)
    assert loss(embeddings, labels).item() == pytest.approx(total / 24, rel=1e-5)


@pytest.mark.parametrize("margin", [0.1, 0.5])
def test_multi_similarity_equals_pytorch_metric_learning(batch, margin):
    mine, loss = MultiSimilarityMiner(epsilon=margin), pml.MultiSimilarityLoss()

    def theirs(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return loss(embeddings, labels, mine(embeddings, labels))

    check_equal(MultiSimilarity(margin), theirs, batch)
