"""What is prepared before the first step of a training that starts from weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vizinho.train.data import Pixels  # noqa: E402
from vizinho.train.losses import WeightedSum  # noqa: E402
from vizinho.train.pair_losses import SupCon  # noqa: E402
from vizinho.train.passes import SAMPLE, settle, spread  # noqa: E402
from vizinho.train.proxy_losses import NormalisedSoftmax  # noqa: E402
from vizinho.train.recipes import recipe  # noqa: E402

pytestmark = pytest.mark.train

TOLD = recipe("fast", dimension=3, mirrored=False)


class MeanColour(torch.nn.Module):
    """[N, 3, H, W] -> [N, 3]; one weight, so that it lies on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) * self.scale


def test_proxies_go_where_the_network_has_put_the_classes():
    colours = np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0], dtype=np.int64)
    images = np.broadcast_to(colours[labels][:, None, None, :], (5, 32, 32, 3)).copy()
    pixels = Pixels(
        "colours", ["red", "blue", "unseen"], {32: images}, labels, images[:0], labels[:0], ""
    )
    softmax = NormalisedSoftmax(3, 3)
    before = softmax.proxies.detach().clone()
    settle(WeightedSum([softmax, SupCon()], [1.0, 0.25]), MeanColour(), pixels, TOLD)
    unit = 3**-0.5
    expected = torch.tensor([[unit, -unit, -unit], [-unit, -unit, unit]])
    assert torch.allclose(softmax.proxies[:2], expected, atol=1e-5)
    assert torch.equal(softmax.proxies[2], before[2])


def test_a_loss_without_proxies_is_left_alone():
    empty = np.zeros((0, 32, 32, 3), dtype=np.uint8)
    nothing = Pixels("none", [], {32: empty}, empty[:, 0, 0, 0], empty, empty[:, 0, 0, 0], "")
    settle(SupCon(), MeanColour(), nothing, TOLD)


@pytest.mark.parametrize("count", [1, 7, SAMPLE, SAMPLE + 1, 48_000])
def test_a_sample_is_spread_from_the_first_to_the_last(count):
    positions = spread(count)
    assert len(positions) == min(count, SAMPLE)
    assert (positions[0], positions[-1]) == (0, count - 1)
    assert np.diff(positions).max(initial=0) <= -(-count // SAMPLE) + 1
