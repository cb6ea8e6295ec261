"""Which pictures, and which classes, are kept aside; the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def stratified(
    labels: NDArray[np.int64],
    count: int,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """True for about ``count`` of the N labels, the same share of every class; bool [N].

    A class always keeps at least half of its images. With ``groups`` int64 [N] the images of one
    group go to the same side: a group that would take more than its classes' share stays, so that
    fewer may be set aside. Without them, or where every group has one image, nothing changes.
    """
    aside = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(seed)
    sizes = np.bincount(labels)
    share = {
        int(label): min(round(count * int(sizes[label]) / len(labels)), int(sizes[label]) // 2)
        for label in np.unique(labels)
    }
    taken = dict.fromkeys(share, 0)
    company = _company(groups) if groups is not None else {}
    for label in share:
        members = generator.permutation(np.flatnonzero(labels == label))
        for member in members:
            if taken[label] == share[label]:
                break
            if aside[member]:
                continue
            together = company.get(int(groups[member])) if groups is not None else None
            if together is None:
                aside[member] = True
                taken[label] += 1
                continue
            asked = np.unique(labels[together], return_counts=True)
            if all(taken[int(of)] + n <= share[int(of)] for of, n in zip(*asked, strict=True)):
                aside[together] = True
                for of, n in zip(*asked, strict=True):
                    taken[int(of)] += int(n)
    return aside


def unseen_classes(classes: int, unseen: float, seed: int) -> NDArray[np.int64]:
    """The positions, in order, of the classes that are never trained on.

    ``unseen``: below 1 a share of the ``classes`` (rounded, at least one class), else their number.
    """
    count = max(1, round(unseen * classes)) if unseen < 1 else math.floor(unseen)
    # Another stream than the pictures' split, which would otherwise follow from this one.
    generator = np.random.default_rng([seed, 1])
    return np.sort(generator.permutation(classes)[: count if unseen > 0 else 0])


def _company(groups: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The members of every group that has two or more, by group."""
    order = np.argsort(groups, kind="stable")
    names, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    return {
        int(name): order[start : start + n]
        for name, start, n in zip(names, starts, counts, strict=True)
        if n > 1
    }
