"""Muon's update is an orthogonal matrix, and its weights keep their norm."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vizinho.train.optim import Muon, orthogonalise  # noqa: E402

pytestmark = pytest.mark.train


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_singular_vectors_stay_and_values_go_near_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    inside = u.T @ found @ v.T
    assert (inside - torch.diag(inside.diagonal())).abs().max() < 1e-3


def test_it_finds_the_minimum_and_holds_the_norm():
    torch.manual_seed(0)
    target = torch.randn(8, 20)
    target *= 8**0.5 / target.norm()
    weight = torch.nn.Parameter(torch.randn(8, 20))
    optimiser = Muon([weight], lr=0.3)
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 0.3 * (1 - step / 80)
        optimiser.zero_grad()
        (-(weight / weight.norm() * target).sum()).backward()
        optimiser.step()
    cosine = torch.cosine_similarity(weight.flatten(), target.flatten(), dim=0)
    assert cosine > 0.99
    assert weight.norm().item() == pytest.approx(8**0.5, rel=0.05)


def test_momentum_survives_saving():
    weight = torch.nn.Parameter(torch.ones(3, 5))
    weight.grad = torch.randn(3, 5)
    before = Muon([weight], lr=0.1)
    before.step()
    after = Muon([weight], lr=0.1)
    after.load_state_dict(before.state_dict())
    assert torch.equal(after.state[weight]["momentum"], before.state[weight]["momentum"])


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="closure"):
        Muon([torch.nn.Parameter(torch.ones(2, 2))], lr=0.1).step(lambda: 0.0)
