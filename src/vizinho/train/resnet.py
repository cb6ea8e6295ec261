"""ResNet-18, 34 and 50 with an embedding on top.

Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015. As in
torchvision (and in the weights it publishes) a bottleneck block strides in its 3x3 convolution.
Modules carry torchvision's names, so its published weights load by name.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vizinho.errors import SettingsError
from vizinho.train.winograd import Conv3x3

#: Blocks in each of the four stages.
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
STEMS = ("imagenet", "cifar")


def resnet(depth: int, dimension: int, stem: str = "imagenet", normalise: bool = False) -> ResNet:
    """A ResNet of ``depth`` 18, 34 or 50: images float32 [N, 3, H, W] -> embeddings [N, dimension].

    ``stem`` "imagenet" is the original start (7x7 convolution, stride 2, then 3x3 max pooling,
    stride 2: a 32x32 image is 8x8 when it meets the first block); "cifar" is one 3x3 convolution
    that keeps the size, about 16 times the arithmetic on the same image. ``normalise`` scales
    embeddings to length 1. Raises ``SettingsError`` on an unknown depth, stem or dimension.
    """
    if depth not in STAGES:
        raise SettingsError(f"There is no ResNet-{depth}.", "Choose depth 18, 34 or 50.")
    if stem not in STEMS:
        raise SettingsError(f"There is no stem {stem!r}.", f"Choose one of: {', '.join(STEMS)}.")
    if dimension < 1:
        raise SettingsError(f"An embedding can't have {dimension} dimensions.")
    return ResNet(depth, dimension, stem, normalise)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution, the last to four times the width, beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _convolution(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Built by ``resnet``; ``fc`` is the embedding, where torchvision has its 1,000 classes."""

    def __init__(self, depth: int, dimension: int, stem: str, normalise: bool) -> None:
        super().__init__()
        self.depth = depth
        self.stem = stem
        block: type[BasicBlock | Bottleneck] = Bottleneck if depth >= 50 else BasicBlock
        if stem == "imagenet":
            self.conv1 = _convolution(3, WIDTHS[0], 7, stride=2)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = _convolution(3, WIDTHS[0], 3)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        inputs = WIDTHS[0]
        for stage, (blocks, width) in enumerate(zip(STAGES[depth], WIDTHS, strict=True), 1):
            layer = nn.Sequential()
            for number in range(blocks):
                stride = 2 if stage > 1 and number == 0 else 1
                layer.append(block(inputs, width, stride))
                inputs = width * block.expansion
            self.add_module(f"layer{stage}", layer)
        self.fc = nn.Linear(inputs, dimension)
        self.normalise = normalise
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        for stage in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        x = self.fc(x.mean(dim=(2, 3)))
        return F.normalize(x) if self.normalise else x

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    if size == 3:
        return Conv3x3(inputs, outputs, stride)
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
