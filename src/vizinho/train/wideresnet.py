"""Wide residual networks with an embedding on top.

Source: S. Zagoruyko and N. Komodakis, "Wide Residual Networks" (BMVC 2016), table 1: pre-activation
blocks of two 3x3 convolutions in three groups of 16 K, 32 K and 64 K channels, no dropout.
"""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

#: Channels of the three groups in a network of widening factor 1.
WIDTHS: Final = (16, 32, 64)


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each behind its norm, beside a shortcut.

    [N, inputs, H, W] -> [N, width, H // stride, W // stride].
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != width
        self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(x))
        # Where the shape changes both paths start from the activated input, as in the paper's code.
        beside = x if self.shortcut is None else self.shortcut(y)
        y = self.conv2(F.relu(self.bn2(self.conv1(y))))
        found: Tensor = y + beside
        return found


class WideResNet(nn.Module):
    """Images float32 [N, 3, H, W] -> embeddings float32 [N, dimension].

    WRN-D-K has (D - 4) / 6 ``blocks`` in each group and the widening factor ``widen`` = K.
    ``normalise`` scales embeddings to length 1.
    """

    def __init__(self, blocks: int, widen: int, dimension: int, *, normalise: bool = True) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        inputs = WIDTHS[0]
        for group, width in enumerate(WIDTHS, 1):
            layers = nn.Sequential()
            for number in range(blocks):
                stride = 2 if group > 1 and number == 0 else 1
                layers.append(WideBlock(inputs, widen * width, stride))
                inputs = widen * width
            self.add_module(f"group{group}", layers)
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images)
        for group in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"group{group}")(x)
        x = self.fc(F.relu(self.bn(x)).mean(dim=(2, 3)))
        return F.normalize(x) if self.normalise else x
