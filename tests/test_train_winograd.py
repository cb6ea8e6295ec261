"""Convolutions the short way give what ``torch`` gives the long way, gradients included."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from vizinho.train.fastnet import Block  # noqa: E402
from vizinho.train.winograd import CHUNK, TILES, Conv3x3, best_tile, winograd  # noqa: E402

pytestmark = pytest.mark.train


def drawn(*shape: int) -> torch.Tensor:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return images.contiguous(memory_format=torch.channels_last).requires_grad_()


def check_same(ours, theirs, inputs, tolerance=2e-5):
    """Outputs and the gradients of ``inputs`` agree, as shares of their norms."""
    assert ours.shape == theirs.shape
    back = drawn(*theirs.shape).detach()
    found = (ours, *torch.autograd.grad(ours, inputs, back))
    expected = (theirs, *torch.autograd.grad(theirs, inputs, back))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= tolerance * other.norm()


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize(("size", "kept"), [(2, 2), (5, 5), (7, 6), (11, 10)])
def test_it_is_the_convolution(tile, size, kept):
    x, weight = drawn(3, 5, size, size), drawn(7, 5, 3, 3)
    theirs = F.conv2d(x, weight, padding=1)[:, :, :kept, :kept]
    check_same(winograd(x, weight, kept, kept, tile), theirs, (x, weight))


def test_it_is_the_convolution_of_pictures_that_are_not_square_and_in_several_chunks(monkeypatch):
    monkeypatch.setattr("vizinho.train.winograd.CHUNK", CHUNK >> 12)
    x, weight = drawn(5, 4, 9, 6), drawn(8, 4, 3, 3)
    check_same(winograd(x, weight, 9, 6, 4), F.conv2d(x, weight, padding=1), (x, weight))


def test_without_a_gradient_for_the_images_the_filters_still_get_theirs():
    x, weight = drawn(4, 3, 6, 6), drawn(5, 3, 3, 3)
    theirs = F.conv2d(x.detach(), weight, padding=1)
    check_same(winograd(x.detach(), weight, 6, 6, 3), theirs, (weight,))


@pytest.mark.parametrize(
    ("size", "stride", "channels"),
    [(1, 1, 8), (1, 2, 8), (2, 2, 8), (6, 2, 8), (5, 1, 8), (8, 1, 64)],
)
def test_a_layer_in_training_is_the_same_layer(size, stride, channels):
    layer = Conv3x3(channels, channels, stride).to(memory_format=torch.channels_last)
    x = drawn(32, channels, size, size)
    assert (best_tile(32, channels, channels, size, size) is not None) == (channels == 64)
    theirs = F.conv2d(x, layer.weight, stride=stride, padding=1)
    check_same(layer(x), theirs, (x, layer.weight))
    assert torch.equal(layer.eval()(x), theirs)
    assert list(layer.state_dict()) == ["weight"]


def test_the_same_again_is_the_same_to_the_last_bit():
    layer = Conv3x3(64, 64).to(memory_format=torch.channels_last)
    x, back = drawn(32, 64, 8, 8), drawn(32, 64, 8, 8).detach()
    once, again = (torch.autograd.grad(layer(x), (x, layer.weight), back) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


def test_the_rows_that_pooling_drops_are_never_computed():
    block = Block(4, 8)
    x = drawn(6, 4, 7, 9)
    pooled = F.max_pool2d(F.conv2d(x, block.conv1.weight, padding=1), 2)
    theirs = F.silu(block.norm1(pooled))
    theirs = F.silu(block.norm2(F.conv2d(theirs, block.conv2.weight, padding=1)))
    check_same(block(x), theirs, (x, *(w for w in block.parameters() if w.requires_grad)))
    assert block.conv1(x, 6, 8).shape == (6, 8, 6, 8)


def test_few_channels_or_images_take_the_direct_way():
    assert best_tile(128, 24, 64, 22, 22) is None
    assert best_tile(4, 256, 256, 8, 8) is None
    assert best_tile(125, 256, 256, 5, 5) == 5
    assert best_tile(125, 256, 256, 2, 2) == 2
