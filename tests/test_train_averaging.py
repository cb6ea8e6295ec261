"""The running mean of weights, against its formula written out."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from vizinho.train.averaging import Average, refresh_statistics  # noqa: E402
from vizinho.train.checkpoint import save  # noqa: E402
from vizinho.train.networks import build_network  # noqa: E402
from vizinho.train.pretrained import initialise  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402

pytestmark = pytest.mark.train


def small():
    torch.manual_seed(0)
    return build_network(recipe("fast", width=4, dimension=4))


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_the_mean_is_the_formulas(decay):
    network = small()
    average = Average(network, decay)
    seen = []
    for _ in range(30):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        seen.append([weight.double().clone() for weight in network.parameters()])
        average.update(network)
    # The share of step t is (1 - d_t) d_(t+1) d_(t+2) ...; the first step's d is zero.
    decays = [min(decay, t / (t + 9)) for t in range(30)]
    for number, found in enumerate(average.network.parameters()):
        expected = torch.zeros_like(seen[0][number])
        for t in range(30):
            share = 1 - decays[t]
            for later in decays[t + 1 :]:
                share *= later
            expected += share * seen[t][number]
        assert torch.allclose(found.double(), expected, atol=1e-5)


def test_the_mean_leaves_the_network_alone_and_shares_no_memory_with_it():
    network = small()
    average = Average(network, 0.9)
    before = [weight.clone() for weight in network.parameters()]
    average.update(network)
    with torch.no_grad():
        for weight in average.network.parameters():
            weight.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert not any(weight.requires_grad for weight in average.network.parameters())


def test_a_saved_mean_goes_on_as_if_it_had_never_stopped(tmp_path):
    network = small()
    whole, part = Average(network, 0.9), Average(network, 0.9)
    for step in range(12):
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(1.1)
        whole.update(network)
        part.update(network)
        if step == 5:
            torch.save(part.state(), tmp_path / "state")
            part = Average(small(), 0.9)
            part.load(torch.load(tmp_path / "state", weights_only=True))
    for a, b in zip(
        whole.network.state_dict().values(), part.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_statistics_are_those_of_the_images_under_the_new_weights():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=0.03))
    network[1].running_mean.fill_(100)
    network.eval()
    batches = [torch.randn(8, 3, 6, 6) for _ in range(4)]
    refresh_statistics(network, batches)
    outputs = [network[0](batch).transpose(0, 1).flatten(1) for batch in batches]
    mean = torch.stack([output.mean(dim=1) for output in outputs]).mean(dim=0)
    variance = torch.stack([output.var(dim=1) for output in outputs]).mean(dim=0)
    assert torch.allclose(network[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(network[1].running_var, variance, atol=1e-6)
    assert network[1].momentum == 0.03
    assert not network.training


def test_another_training_starts_from_the_mean(tmp_path):
    network, other = small(), small()
    average = Average(network, 0.9)
    with torch.no_grad():
        for weight in average.network.parameters():
            weight.mul_(3)
    save(tmp_path / "c.pt", {"network": network.state_dict(), "average": average.state()})
    initialise(other, str(tmp_path / "c.pt"))
    for found, mean in zip(other.parameters(), average.network.parameters(), strict=True):
        assert torch.equal(found, mean)
