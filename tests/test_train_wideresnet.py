"""Wide ResNets: the paper's sizes, the names, the schedule that suits them.

That they are exported as they are is tested with the command that exports one
(``test_train_teacher``).
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from vizinho.errors import SettingsError  # noqa: E402
from vizinho.train.networks import build_network, rate  # noqa: E402
from vizinho.train.precision import Precision  # noqa: E402
from vizinho.train.recipes import RECIPES, recipe, wide_shape  # noqa: E402
from vizinho.train.wideresnet import WideResNet  # noqa: E402

pytestmark = pytest.mark.train


def on_paper(name: str, outputs: int = 10) -> WideResNet:
    """Shapes without numbers: a network of 36 million weights costs nothing."""
    with torch.device("meta"):
        return WideResNet(*wide_shape(name), outputs)


# Zagoruyko and Komodakis, tables 4 and 5: millions of parameters with CIFAR-10's classifier.
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("wrn40-1", 0.6),
        ("wrn40-2", 2.2),
        ("wrn40-4", 8.9),
        ("wrn16-8", 11.0),
        ("wrn22-8", 17.2),
        ("wrn28-10", 36.5),
    ],
)
def test_parameters_are_the_papers(name, millions):
    count = sum(weight.numel() for weight in on_paper(name).parameters())
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize(("name", "depth"), [("wrn10-1", 10), ("wrn16-4", 16), ("wrn28-10", 28)])
def test_the_depth_counts_the_layers_of_convolutions(name, depth):
    network = on_paper(name)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    # Each of the three groups has a 1x1 shortcut beside, which counts too.
    assert len(layers) + 3 == depth


def test_multiplications_counted_by_hand():
    network = on_paper("wrn10-2", 64).eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 32, 32))
    expected, inputs, side = 32**2 * 9 * 3 * 16, 16, 32
    for width, stride in ((32, 1), (64, 2), (128, 2)):
        side //= stride
        expected += side**2 * width * (9 * inputs + 9 * width + inputs)
        inputs = width
    expected += 128 * 64
    assert counter.get_total_flops() == 2 * expected


def test_names_say_depth_and_width_and_wrong_ones_are_refused():
    assert wide_shape("wrn28-10") == (4, 10)
    assert wide_shape("resnet18") is None
    assert recipe("fast", network="wrn16-4").network == "wrn16-4"
    for name in ("wrn27-10", "wrn4-2", "wrn28-0"):
        with pytest.raises(SettingsError, match="6 n \\+ 4"):
            recipe("fast", network=name)
    for name in ("wrn28", "wrn-28-10", "wrn28-10x"):
        with pytest.raises(SettingsError, match="network can't be"):
            recipe("fast", network=name)


def test_embeddings_have_length_one_only_where_asked():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 18, 18)
    for normalise in (True, False):
        network = WideResNet(1, 1, 5, normalise=normalise).eval()
        lengths = network(images).norm(dim=1)
        assert torch.allclose(lengths, torch.ones(3), atol=1e-5) == normalise
        assert network(images).shape == (3, 5)


def test_weights_start_at_kaimings_variance():
    torch.manual_seed(0)
    network = WideResNet(1, 4, 8)
    weight = network.group3[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)


def test_the_records_student_fits_into_ten_megabytes():
    with torch.device("meta"):
        student = build_network(RECIPES["record"][1])
    weights = 4 * sum(weight.numel() for weight in student.state_dict().values())
    # The graph takes some 50 kB more.
    assert 9e6 < weights < 9.9e6


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    told = recipe("record-teacher")
    assert rate(told, 0.0) < 0.05
    assert rate(told, 0.5) == pytest.approx(0.5)
    assert rate(told, 0.75) == pytest.approx((1 - 0.5**0.5) / 2)
    assert rate(told, 1.0) == pytest.approx(0.0)
    factors = [rate(told, 0.05 + i / 100) for i in range(96)]
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(("able", "name"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_runs_in_bfloat16_where_it_can(monkeypatch, able, name):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    assert Precision.fastest(nn.Identity(), 32, torch.device("cuda")).name == name
