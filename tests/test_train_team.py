"""Two cores on one batch make the step that one core makes."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from vizinho.train.networks import build_network  # noqa: E402
from vizinho.train.objectives import build_loss  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402
from vizinho.train.team import Team, cores_for  # noqa: E402

pytestmark = pytest.mark.train

CPU = torch.device("cpu")
TOLD = recipe("fast", width=4, dimension=6, size=18, batch_size=20, micro_batch=6)
PLAIN = Precision("float32", CPU)


@pytest.fixture
def parts():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20, 18, 18, 3), dtype=torch.uint8)
    return build_network(TOLD).train(), build_loss(TOLD, 4), images, torch.arange(20) % 4


def step(parts, cores):
    network, loss, images, labels = copy.deepcopy(parts)
    found = Team(network, loss, cores).learn(images, labels, TOLD, PLAIN)
    weights = [*network.parameters(), *loss.parameters()]
    return found, [w.grad for w in weights if w.requires_grad], dict(network.named_buffers())


@pytest.mark.parametrize("cores", [2, 3, 4])
def test_the_gradients_loss_and_embeddings_are_those_of_one_core(parts, cores):
    (embeddings, value), gradients, _ = step(parts, 1)
    (shared, shared_value), shared_gradients, _ = step(parts, cores)
    assert torch.allclose(shared, embeddings, atol=2e-5)
    assert shared_value == pytest.approx(value, rel=1e-6)
    assert len(gradients) > 8
    for one, other in zip(gradients, shared_gradients, strict=True):
        assert one.abs().max() > 0
        assert torch.allclose(one, other, atol=2e-5)


def test_one_core_is_a_plain_backward_pass(parts):
    network, loss, images, labels = copy.deepcopy(parts)
    _, gradients, _ = step(parts, 1)
    for start in range(0, 20, 6):
        part = slice(start, min(start + 6, 20))
        scaled = (images[part].float() / 255 - 0.5) / 0.5
        value = loss(network(scaled.permute(0, 3, 1, 2)), labels[part])
        (value * (part.stop - start) / 20).backward()
    plain = [w.grad for w in (*network.parameters(), *loss.parameters()) if w.requires_grad]
    for one, other in zip(gradients, plain, strict=True):
        assert torch.allclose(one, other, atol=2e-5)


def test_running_statistics_become_the_mean_of_all_cores(parts):
    network, loss, images, labels = copy.deepcopy(parts)
    team = Team(network, loss, 2)
    name = "network.blocks.0.norm1.running_mean"
    before = dict(network.named_buffers())[name].clone()
    team.learn(images, labels, TOLD, PLAIN)
    kept = [dict(member.named_buffers())[name] for member, _ in team.members]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], before)
    alone = []
    for first in (0, 6):
        copied = copy.deepcopy(parts[0])
        for start in (first, first + 12):
            scaled = (images[start : min(start + 6, 20)].float() / 255 - 0.5) / 0.5
            copied(scaled.permute(0, 3, 1, 2))
        alone.append(dict(copied.named_buffers())[name])
    assert torch.allclose(kept[0], (alone[0] + alone[1]) / 2, atol=2e-5)


def test_the_same_cores_make_the_same_step_bit_for_bit(parts):
    assert all(
        torch.equal(one, other)
        for one, other in zip(step(parts, 2)[1], step(parts, 2)[1], strict=True)
    )


def test_gradients_add_up_until_they_are_cleared(parts):
    network, loss, images, labels = parts
    team = Team(network, loss, 2)
    team.learn(images, labels, TOLD, PLAIN)
    once = [w.grad.clone() for w in team.weights]
    team.learn(images, labels, TOLD, PLAIN)
    for weight, grad in zip(team.weights, once, strict=True):
        assert torch.allclose(weight.grad, 2 * grad, atol=2e-5)


def test_cores_are_shared_out_where_there_are_micro_batches_for_all():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert cores_for(TOLD, 1000, CPU) == 2
        assert cores_for(TOLD, 6, CPU) == 1
        assert cores_for(recipe("thesis"), 50_000, CPU) == 1
        assert cores_for(TOLD, 1000, torch.device("cuda")) == 1
    finally:
        torch.set_num_threads(threads)
