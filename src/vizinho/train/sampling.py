"""In which order an epoch sees the images: shuffled, or every class equally often.

Losses over pairs need several images of a class in one micro-batch, which shuffling seldom gives
where classes are many, and see mostly the large classes where sizes differ.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def balanced(
    labels: Tensor, per_class: int, length: int, generator: torch.Generator, together: int = 1
) -> Tensor:
    """``length`` positions in ``labels`` int64 [N], the same class ``per_class`` times on end.

    Classes are dealt in rounds, each round in an order of its own, so that over an epoch no class
    comes more than once more often than another. Each ``together`` runs from the start, a
    micro-batch, are of as many classes where there are so many. Within a class the images are dealt
    in rounds as well: all of them before one comes again, and never one twice in a run unless the
    class is smaller than that.
    """
    there = torch.unique(labels)
    runs = -(-length // per_class)
    classes = _dealt(there, runs, together, generator)
    found = torch.empty(runs, per_class, dtype=torch.int64)
    for label in there:
        places = (classes == label).nonzero()[:, 0]
        members = (labels == label).nonzero()[:, 0]
        dealt = _dealt(members, len(places) * per_class, per_class, generator)
        found[places] = dealt.view(-1, per_class)
    return found.flatten()[:length]


def _dealt(members: Tensor, wanted: int, run: int, generator: torch.Generator) -> Tensor:
    """``wanted`` of ``members`` in shuffled rounds, none twice in the first ``run``, the next..."""
    deck = torch.empty(0, dtype=torch.int64)
    while len(deck) < wanted:
        fresh = members[torch.randperm(len(members), generator=generator)]
        begun = deck[len(deck) - len(deck) % run :]
        if len(members) >= run and len(begun):
            # Those that the unfinished run holds already go to the end of the new round.
            again = torch.from_numpy(np.isin(fresh.numpy(), begun.numpy()))
            fresh = torch.cat([fresh[~again], fresh[again]])
        deck = torch.cat([deck, fresh])
    return deck[:wanted]
