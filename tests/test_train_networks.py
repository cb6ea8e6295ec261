"""The small network, the mirrored embedding, and what a recipe builds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.fastnet import FastNet  # noqa: E402
from vizinho.train.networks import (  # noqa: E402
    Mirrored,
    build_network,
    build_optimisers,
    rate,
)
from vizinho.train.objectives import build_loss  # noqa: E402
from vizinho.train.recipes import RECIPES, Recipe, recipe  # noqa: E402

pytestmark = pytest.mark.train


def test_whitened_patches_are_uncorrelated_with_variance_one():
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(200, 3, 34, 34), 3, stride=1)
    images = smooth + smooth.mean(dim=1, keepdim=True)
    network = FastNet(8)
    network.whiten(images, eps=1e-8)
    outputs = network.whitening(images)[:, :12].permute(1, 0, 2, 3).flatten(1)
    covariance = torch.cov(outputs.double())
    assert (covariance - torch.eye(12)).abs().max() < 0.02
    weights = network.whitening.weight
    assert torch.equal(weights[:12], -weights[12:])


@pytest.mark.parametrize("size", [18, 24, 32, 64])
def test_any_size_gives_one_unit_vector_an_image(size):
    embeddings = FastNet(16).eval()(torch.randn(3, 3, size, size))
    assert embeddings.shape == (3, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)


def test_a_picture_and_its_mirror_image_are_one():
    torch.manual_seed(0)
    network = Mirrored(FastNet(8), normalise=True)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        network(images)  # in training: one side, and statistics for the batch normalisation
        network.eval()
        one, other = network(images), network(images.flip(3))
        single = network.network(images)
    assert torch.allclose(one, other, atol=1e-5)
    assert not torch.allclose(one, single, atol=1e-3)
    assert torch.allclose(one.norm(dim=1), torch.ones(4), atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_every_weight_that_learns_has_one_optimiser(name):
    told = recipe(name)
    network, loss = build_network(told), build_loss(told, 10)
    held = [
        weight
        for optimiser in build_optimisers(told, network, loss)
        for group in optimiser.param_groups
        for weight in group["params"]
    ]
    learning = [w for w in (*network.parameters(), *loss.parameters()) if w.requires_grad]
    assert sorted(map(id, held)) == sorted(map(id, learning))


def test_the_thesis_recipe_is_its_protocol():
    told = recipe("thesis")
    assert (told.batch_size, told.lr, told.momentum, told.weight_decay) == (128, 0.1, 0.9, 5e-4)
    assert (told.stem, told.shift, told.mirror, told.normalise) == ("imagenet", 0, False, False)
    assert [rate(told, epoch / 100) for epoch in (0, 9, 10, 20)] == pytest.approx([1, 1, 0.1, 0.01])


def test_the_linear_schedule_warms_up_and_ends_at_zero():
    values = [rate(Recipe(), step / 200) for step in range(201)]
    assert values[0] < 0.05
    assert max(values) > 0.94
    assert values.index(max(values)) == 10
    assert values[-1] == 0
    assert values[10:] == sorted(values[10:], reverse=True)


@pytest.mark.parametrize(
    "change",
    [
        {"network": "vgg"},
        {"lr": 0.0},
        {"epochs": 0},
        {"margin": -1.0},
        {"momentum": 1.0},
        {"low_size": 12},
        {"lr": float("nan")},
        {"no_such_field": 1},
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change):
    with pytest.raises(SettingsError):
        recipe("fast", **change)


def test_none_leaves_a_field_as_it_is():
    assert recipe("thesis", lr=None, epochs=3) == recipe("thesis", epochs=3)
    with pytest.raises(SettingsError, match="fast, fast-triplet, thesis"):
        recipe("slow")


def test_the_small_copies_keep_their_proportion():
    assert recipe("fast").low_size == 24
    assert recipe("fast", size=64).low_size == 48
    assert recipe("fast", size=64, low_size=32).low_size == 32
    assert recipe("fast", size=18).low_size == 18
