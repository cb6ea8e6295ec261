"""What a recipe's loss is called, what it begins from, and that every one of them learns."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_metric_learning")

from toy_stripes import make_stripes  # noqa: E402
from vizinho.datasets import LabelledImages  # noqa: E402
from vizinho.errors import SettingsError, TrainingCollapsed  # noqa: E402
from vizinho.train.checks import CHOICES  # noqa: E402
from vizinho.train.loop import Trained, train  # noqa: E402
from vizinho.train.losses import Triplet, WeightedSum  # noqa: E402
from vizinho.train.objectives import (  # noqa: E402
    USUAL,
    build_loss,
    collapse_monitor,
    settled,
    temperature,
)
from vizinho.train.pair_losses import SupCon  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.proxy_losses import ProxyAnchor  # noqa: E402
from vizinho.train.recipes import RECIPES, Recipe, changes, recipe  # noqa: E402

pytestmark = pytest.mark.train

NAMES = CHOICES["loss"]
TINY = {
    "width": 16,
    "epochs": 6,
    "batch_size": 24,
    "micro_batch": 24,
    "holdout": 24,
    "dimension": 8,
    "size": 18,
    "low_share": 0.0,
    "shift": 2,
}


class Quiet:
    """A watcher that says nothing."""

    def note(self, text: str) -> None:
        pass

    def step(self, progress: object) -> bool:
        return True

    def epoch(self, record: object) -> None:
        pass


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Two probes on a busy machine may differ, and time is short."""
    monkeypatch.setattr(
        Precision, "fastest", lambda network, size, device: Precision("float32", device)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> LabelledImages:
    return make_stripes(tmp_path_factory.mktemp("stripes"))


def top_1(done: Trained) -> float:
    return done.progress.records[-1].precision_at_1 or 0.0


@pytest.mark.parametrize(
    "loss",
    [
        *NAMES,
        "pml:CircleLoss",
        "pml:SoftTripleLoss(centers_per_class=2)",
        "pml:CosFaceLoss(scale=16)",
    ],
)
def test_every_loss_learns_at_the_usual_rates(stripes, tmp_path, loss):
    done = train(recipe("fast", loss=loss, **TINY), stripes, tmp_path, Quiet())
    assert top_1(done) >= 0.9


@pytest.mark.parametrize("loss", ["triplet", "soft-triplet", "contrastive"])
def test_losses_over_distances_learn_in_plain_ones_too(stripes, tmp_path, loss):
    told = recipe("fast", loss=loss, distance="euclidean", **TINY)
    assert top_1(train(told, stripes, tmp_path, Quiet())) >= 0.9


def test_a_loss_of_ones_own_learns_its_weights_and_goes_on(stripes, tmp_path):
    told = recipe("fast", loss="own:anchors", **{**TINY, "epochs": 2})
    loss = ProxyAnchor(3, 8, temperature=0.1)
    before = loss.proxies.detach().clone()
    train(told, stripes, tmp_path, Quiet(), own_loss=loss)
    assert not torch.equal(loss.proxies, before)
    # A finished training loads the loss's weights again from its checkpoint.
    again = ProxyAnchor(3, 8, temperature=0.1)
    train(told, stripes, tmp_path, Quiet(), own_loss=again)
    assert torch.equal(loss.proxies, again.proxies)


def test_a_loss_of_ones_own_is_asked_for_and_handed_over():
    with pytest.raises(SettingsError, match="has to be handed over"):
        build_loss(Recipe(loss="own:mine"), 3)
    with pytest.raises(SettingsError, match="'softmax', and a loss was handed over"):
        build_loss(Recipe(), 3, SupCon())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "labels",
    [[0, 0, 0, 0], [0, 1, 2, 3], [0], [0, 0, 1, 1], [0, 0, 0, 1]],
    ids=["one class", "no pair", "one image", "two pairs", "a loner"],
)
@pytest.mark.parametrize("alike", [False, True])
def test_gradients_are_finite_whatever_the_batch(name, labels, alike):
    for distance in CHOICES["distance"]:
        for mining in (None, *CHOICES["mining"]) if "triplet" in name else (None,):
            told = Recipe(loss=name, dimension=5, distance=distance, mining=mining)
            loss = build_loss(told, 4)
            points = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(0))
            points = (points[:1].repeat(len(labels), 1) if alike else points).requires_grad_()
            value = loss(points, torch.tensor(labels))
            value.backward()
            weights = [weight.grad for weight in loss.parameters()]
            assert value.ndim == 0
            assert torch.isfinite(value)
            assert all(torch.isfinite(gradient).all() for gradient in (points.grad, *weights))


def test_every_name_has_its_usual_numbers():
    assert set(USUAL) == set(NAMES)
    for name in NAMES:
        build_loss(Recipe(loss=name), 10)
        mined = "triplet" in name
        assert (settled(Recipe(loss=name)).mining is not None) == mined
    loss = build_loss(Recipe(loss="triplet", margin=0.7, distance="euclidean"), 10)
    assert isinstance(loss, Triplet)
    assert (loss.margin, loss.distance) == (0.7, "euclidean")
    assert temperature(Recipe(loss="supcon", temperature=0.3)) == 0.3
    assert temperature(Recipe(loss="triplet")) == 0.1


def test_softmax_has_supcon_beside_it_unless_told_otherwise():
    both = build_loss(recipe("fast"), 10)
    assert isinstance(both, WeightedSum)
    assert both.weights == [1.0, 0.25]
    assert [loss.temperature for loss in both.losses] == [0.1, 0.1]
    assert build_loss(recipe("fast", supcon=0.0, temperature=0.2), 10).temperature == 0.2


def test_another_loss_brings_its_own_numbers_unless_they_are_told():
    assert recipe("fast").temperature == 0.1
    assert recipe("fast", loss="softmax").temperature == 0.1
    other = recipe("fast-triplet", loss="nt-xent")
    assert (other.margin, other.mining, other.temperature) == (None, None, None)
    assert recipe("fast-triplet", loss="contrastive", margin=0.8).margin == 0.8
    assert recipe("thesis").margin == recipe("fast-triplet").margin == 0.3
    assert settled(recipe("fast", loss="triplet")).margin == 0.2


def test_none_is_told_in_words():
    told = changes(["margin=none", "mining=None", "temperature=0.2"])
    made = recipe("fast-triplet", **told)
    assert (made.margin, made.mining, made.temperature) == (None, None, 0.2)
    assert recipe("fast-triplet", margin=None).margin == 0.3
    with pytest.raises(SettingsError, match="margin is a number, not 'big'"):
        changes(["margin=big"])
    for wrong in ({"margin": -1.0}, {"temperature": 0.0}, {"mining": "easy"}, {"loss": "mse"}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            replace(RECIPES["fast"][1], **wrong)


def test_the_monitor_knows_the_recipes_margin():
    monitor = collapse_monitor(recipe("fast-triplet", distance="euclidean"), 10)
    assert (monitor.margin, monitor.squared, monitor.classes) == (0.3, False, 10)
    assert monitor.group == 125
    assert collapse_monitor(recipe("fast"), 10).margin is None
    assert collapse_monitor(recipe("fast", loss="triplet"), 10).margin == 0.2


def test_a_training_that_finds_no_triplets_says_so(stripes, tmp_path):
    # Far apart, as embeddings of no fixed length are, no negative lies just beyond a positive.
    told = recipe(
        "fast", **{**TINY, "epochs": 13}, loss="triplet", margin=1e-9, normalise=False, lr=1e-9
    )
    with pytest.raises(TrainingCollapsed, match="No triplets"):
        train(replace(told, head_lr=1e-9), stripes, tmp_path, Quiet())
