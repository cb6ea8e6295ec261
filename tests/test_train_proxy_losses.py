"""Losses with proxies against slow loops from the papers and pytorch-metric-learning's."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pml = pytest.importorskip("pytorch_metric_learning.losses")

from vizinho.train.proxy_losses import ArcFace, NormalisedSoftmax, ProxyAnchor  # noqa: E402

pytestmark = pytest.mark.train

Batch = tuple[torch.Tensor, torch.Tensor]
CLASSES = 5


@pytest.fixture
def batch() -> Batch:
    """24 embeddings of four of the five classes."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(24, 6, generator=generator), torch.arange(24) % 4


def angles(embeddings: torch.Tensor, proxies: torch.Tensor) -> list[list[float]]:
    return [
        [math.acos(max(-1.0, min(1.0, float(e @ p / e.norm() / p.norm())))) for p in proxies]
        for e in embeddings
    ]


def cross_entropy(logits: list[float], wanted: list[float]) -> float:
    highest = max(logits)
    total = highest + math.log(sum(math.exp(x - highest) for x in logits))
    return sum(w * (total - x) for w, x in zip(wanted, logits, strict=True))


def only(label: int) -> list[float]:
    return [float(i == label) for i in range(CLASSES)]


def check_equal(ours, theirs, weights: str, batch: Batch) -> None:
    """The same loss, the same gradients on embeddings and proxies, with the same proxies."""
    proxies = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        ours.proxies.copy_(proxies)
        getattr(theirs, weights).copy_(proxies.T if weights == "W" else proxies)
    found = []
    for loss in (ours, theirs):
        embeddings = batch[0].clone().requires_grad_()
        value = loss(embeddings, batch[1])
        value.backward()
        learned = getattr(loss, "proxies" if loss is ours else weights).grad
        learned = learned.T if loss is theirs and weights == "W" else learned
        found.append(
            [*embeddings.grad.flatten().tolist(), *learned.flatten().tolist(), value.item()]
        )
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=5e-5)


def test_normalised_softmax_is_cross_entropy_of_cosines(batch):
    embeddings, labels = batch
    loss = NormalisedSoftmax(CLASSES, 6, temperature=0.2, smoothing=0.1)
    rows = angles(embeddings, loss.proxies.detach())
    wanted = [[0.1 / CLASSES + 0.9 * x for x in only(int(label))] for label in labels]
    terms = [
        cross_entropy([math.cos(x) / 0.2 for x in row], w)
        for row, w in zip(rows, wanted, strict=True)
    ]
    assert loss(embeddings, labels).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_normalised_softmax_equals_pytorch_metric_learning(batch):
    theirs = pml.NormalizedSoftmaxLoss(CLASSES, 6, temperature=0.2)
    check_equal(NormalisedSoftmax(CLASSES, 6, temperature=0.2), theirs, "W", batch)


@pytest.mark.parametrize("margin", [0.5, 1.5])
def test_arcface_adds_an_angle_to_the_own_class(batch, margin):
    embeddings, labels = batch
    loss = ArcFace(CLASSES, 6, margin=margin, temperature=0.1)
    terms, passed = [], 0
    for row, label in zip(angles(embeddings, loss.proxies.detach()), labels.tolist(), strict=True):
        logits = [math.cos(x) for x in row]
        beyond = row[label] + margin > math.pi
        passed += beyond
        logits[label] = (
            math.cos(row[label]) - margin * math.sin(margin)
            if beyond
            else math.cos(row[label] + margin)
        )
        terms.append(cross_entropy([x / 0.1 for x in logits], only(label)))
    assert margin == 0.5 or passed
    assert loss(embeddings, labels).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


@pytest.mark.parametrize("margin", [0.5, 1.5])
def test_arcface_equals_pytorch_metric_learning(batch, margin):
    theirs = pml.ArcFaceLoss(CLASSES, 6, margin=math.degrees(margin), scale=8)
    check_equal(ArcFace(CLASSES, 6, margin=margin, temperature=1 / 8), theirs, "W", batch)


def test_arcface_by_hand_is_steep_nowhere():
    # On the own proxy, opposite to it, and square to it.
    loss = ArcFace(2, 2, margin=0.5, temperature=1.0)
    with torch.no_grad():
        loss.proxies.copy_(torch.eye(2))
    embeddings = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    value = loss(embeddings, torch.tensor([0, 0, 0]))
    value.backward()
    own = [math.cos(0.5), -1 - 0.5 * math.sin(0.5), math.cos(math.pi / 2 + 0.5)]
    other = [0.0, 0.0, 1.0]
    terms = [math.log1p(math.exp(o - x)) for x, o in zip(own, other, strict=True)]
    assert value.item() == pytest.approx(sum(terms) / 3, rel=1e-3)
    assert embeddings.grad.abs().max() < 1


def test_proxy_anchor_is_the_papers_sum(batch):
    embeddings, labels = batch
    loss = ProxyAnchor(CLASSES, 6, margin=0.1, temperature=1 / 8)
    rows = [[math.cos(x) for x in row] for row in angles(embeddings, loss.proxies.detach())]
    pull = push = 0.0
    for c in range(CLASSES):
        own = [row[c] for row, label in zip(rows, labels.tolist(), strict=True) if label == c]
        rest = [row[c] for row, label in zip(rows, labels.tolist(), strict=True) if label != c]
        pull += math.log1p(sum(math.exp(-8 * (s - 0.1)) for s in own))
        push += math.log1p(sum(math.exp(8 * (s + 0.1)) for s in rest))
    # Four classes have images in the batch, all five have a proxy.
    assert loss(embeddings, labels).item() == pytest.approx(pull / 4 + push / 5, rel=1e-5)


def test_proxy_anchor_equals_pytorch_metric_learning(batch):
    theirs = pml.ProxyAnchorLoss(CLASSES, 6, margin=0.2, alpha=16)
    check_equal(ProxyAnchor(CLASSES, 6, margin=0.2, temperature=1 / 16), theirs, "proxies", batch)
