"""Which triplets of a batch to learn from.

A miner takes the batch's distances [N, N] (of whatever kind the loss is in) and its labels [N] and
returns ``Triplets``: three int64 tensors [T] of indices into the batch, (anchor, positive,
negative). Anchor and positive are two images of one class, the negative is of another. T may be 0:
a batch of one class, or one with nothing to learn from. Mining follows no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vizinho.errors import SettingsError
from vizinho.train.distances import pairs, partners

Triplets = tuple[Tensor, Tensor, Tensor]
Miner = Callable[[Tensor, Tensor], Triplets]

#: The names that ``miner`` knows.
MINERS = ("batch-all", "batch-hard", "semi-hard")


def miner(name: str, margin: float) -> Miner:
    """The miner of that name; ``margin`` is the loss's, in its kind of distance.

    Raises ``SettingsError`` for a name that isn't in ``MINERS``.
    """
    if name == "batch-all":
        return batch_all
    if name == "batch-hard":
        return batch_hard
    if name == "semi-hard":
        return partial(semi_hard, margin=margin)
    raise SettingsError(f"There is no miner {name!r}.", f"Choose one of: {', '.join(MINERS)}.")


@torch.no_grad()
def batch_all(distances: Tensor, labels: Tensor) -> Triplets:
    """Every triplet of the batch; T grows with N cubed (10 even classes, N = 250: 1.3 million).

    For looking at a batch: ``losses.Triplet`` sums over all of them without listing them. Source:
    Hermans, Beyer and Leibe, "In Defense of the Triplet Loss", 2017, eq. 6.
    """
    del distances  # All triplets are taken, wherever they lie.
    positive, negative = pairs(labels)
    anchor, near = positive.nonzero(as_tuple=True)
    row, far = negative[anchor].nonzero(as_tuple=True)
    return anchor[row], near[row], far


@torch.no_grad()
def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """For each anchor its farthest positive and its nearest negative; at most N triplets.

    Anchors without a positive or without a negative in the batch are left out. Source: Hermans,
    Beyer and Leibe, "In Defense of the Triplet Loss", 2017, eq. 5.
    """
    positive, negative = pairs(labels)
    anchor = (positive.any(1) & negative.any(1)).nonzero().squeeze(1)
    farthest = distances.masked_fill(~positive, -torch.inf).argmax(1)
    nearest = distances.masked_fill(~negative, torch.inf).argmin(1)
    return anchor, farthest[anchor], nearest[anchor]


@torch.no_grad()
def semi_hard(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """For each pair of one class the nearest negative that is farther, but less than ``margin``.

    Taken is n with d(a, p) < d(a, n) < d(a, p) + margin; pairs without such a negative are left
    out. It avoids the hardest negatives, which can pull a network into collapse. Source: Schroff,
    Kalenichenko and Philbin, "FaceNet", 2015, eq. 4.
    """
    negative = labels[:, None] != labels
    negatives, order = distances.masked_fill(~negative, torch.inf).sort(dim=1)
    # Only pairs of one class are looked up, not all N x N: the look-up costs more than the sort.
    positives, meant = partners(labels)
    near = distances.gather(1, positives)
    place = torch.searchsorted(negatives, near, right=True).clamp(max=len(labels) - 1)
    # Where no negative is farther, the place is held by an infinity or by the farthest negative.
    nearest = negatives.gather(1, place)
    anchor, column = (meant & (nearest > near) & (nearest < near + margin)).nonzero(as_tuple=True)
    return anchor, positives[anchor, column], order[anchor, place[anchor, column]]
