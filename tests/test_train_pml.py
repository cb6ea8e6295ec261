"""Losses of pytorch-metric-learning by name."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("pytorch_metric_learning.losses")

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.loop import train  # noqa: E402
from vizinho.train.networks import build_network, build_optimisers  # noqa: E402
from vizinho.train.objectives import build_loss  # noqa: E402
from vizinho.train.pml import parse_call, pml_loss  # noqa: E402
from vizinho.train.recipes import Recipe, recipe  # noqa: E402

pytestmark = pytest.mark.train

#: Those that take another loss, are no loss, or can't do with labels.
NOT_ALONE = {
    "BaseLossWrapper",
    "BaseMetricLossFunction",
    "CrossBatchMemory",
    "EmbeddingRegularizerMixin",
    "GenericPairLoss",
    "ManifoldLoss",
    "MultipleLosses",
    "SelfSupervisedLoss",
    "VICRegLoss",
    "WeightRegularizerMixin",
}
TOLD = {"RankedListLoss": "margin=0.4, Tn=10"}
ALONE = sorted(name for name in vars(theirs) if name[0].isupper() and name not in NOT_ALONE)


@pytest.mark.parametrize("name", ALONE)
def test_each_of_them_is_made_and_taught(name):
    loss = build_loss(Recipe(loss=f"pml:{name}({TOLD.get(name, '')})", dimension=6), 3)
    assert type(loss) is getattr(theirs, name)
    embeddings = torch.randn(12, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(embeddings, torch.arange(12) % 3)
    value.backward()
    assert torch.isfinite(value)
    assert embeddings.grad is not None


def test_arguments_and_sizes_reach_it():
    loss = pml_loss("pml:ArcFaceLoss(margin=20, scale=16)", 7, 5)
    assert loss.scale == 16
    assert loss.W.shape == (5, 7)
    assert pml_loss("pml:SupConLoss", 7, 5).temperature == 0.1
    # A size that it can do without is left to it.
    assert pml_loss("pml:MarginLoss(learn_beta=True)", 7, 5).beta.numel() == 1
    assert pml_loss("pml:MarginLoss(num_classes=7, learn_beta=True)", 7, 5).beta.shape == (7,)


def test_its_weights_are_learned_beside_the_networks():
    told = Recipe(loss="pml:ProxyAnchorLoss", dimension=6, width=16)
    loss = build_loss(told, 3)
    held = [
        weight
        for optimiser in build_optimisers(told, build_network(told), loss)
        for group in optimiser.param_groups
        for weight in group["params"]
    ]
    assert any(weight is loss.proxies for weight in held)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("pml:CircleLoss", ("CircleLoss", {})),
        ("pml:CircleLoss()", ("CircleLoss", {})),
        ("pml: CircleLoss(m = 0.3, gamma=-8)", ("CircleLoss", {"m": 0.3, "gamma": -8})),
        (
            "pml:PNPLoss(variant='O', x=None, y=[1, 2], z=True)",
            ("PNPLoss", {"variant": "O", "x": None, "y": [1, 2], "z": True}),
        ),
    ],
)
def test_names_with_arguments_are_read(told, expected):
    assert parse_call(told) == expected


@pytest.mark.parametrize(
    "told",
    [
        "pml:",
        "pml:CircleLoss(",
        "pml:CircleLoss(0.3)",
        "pml:CircleLoss(m=open('x'))",
        "pml:CircleLoss(**{'m': 1})",
        "pml:losses.CircleLoss",
        "pml:CircleLoss; import os",
        "pml:(lambda: 1)()",
        "pml:" + "(" * 500,
    ],
)
def test_what_is_no_name_with_plain_arguments_is_refused(told):
    with pytest.raises(SettingsError, match="is not a loss with its arguments") as caught:
        pml_loss(told, 3, 4)
    assert "CircleLoss(m=0.3" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["CircelLoss", "os", "__doc__"])
def test_an_unknown_name_lists_the_known(name):
    with pytest.raises(SettingsError, match=f"no loss '{name}'") as caught:
        pml_loss(f"pml:{name}", 3, 4)
    assert "CircleLoss, ContrastiveLoss" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("pml:CircleLoss(radius=3)", "radius"),
        ("pml:CrossBatchMemory", "loss"),
        ("pml:RankedListLoss", "margin"),
        ("pml:ArcFaceLoss(margin='wide')", "wide"),
    ],
)
def test_arguments_that_do_not_fit_are_told(told, said):
    with pytest.raises(SettingsError, match=rf"can't be made with.*{said}"):
        pml_loss(told, 3, 4)


def test_the_arguments_it_does_take_are_told():
    with pytest.raises(SettingsError) as caught:
        pml_loss("pml:CircleLoss(radius=3)", 3, 4)
    told = (caught.value.hint or "").partition(".")[0]
    assert {"gamma", "m"} <= set(told.removeprefix("It takes: ").split(", "))


def test_a_wrong_loss_is_told_before_a_picture_is_read(tmp_path):
    class Unread:
        classes = ("cat", "dog")

    with pytest.raises(SettingsError, match="no loss 'CircelLoss'"):
        train(recipe("fast", loss="pml:CircelLoss"), Unread(), tmp_path, None)


def test_without_the_package_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(SettingsError, match="isn't installed") as caught:
        pml_loss("pml:CircleLoss", 3, 4)
    assert "pip install 'vizinho[losses]'" in (caught.value.hint or "")
