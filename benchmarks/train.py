"""How many images a second are trained on, and which share of the machine's peak that is?

Each network beside itself in a plain PyTorch loop (`train_plain.py`), in interleaved rounds of the
same threads, arithmetic, batch, loss and optimiser. Needs torch; the pictures are noise, since time
does not depend on them. `python benchmarks/train.py --help` says more.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import train_plain
from common import last_line
from vizinho.train.batches import Batches
from vizinho.train.networks import build_network, build_optimisers
from vizinho.train.objectives import build_loss, collapse_monitor
from vizinho.train.precision import Precision
from vizinho.train.recipes import Recipe, recipe
from vizinho.train.team import Team, cores_for

CLASSES = 10
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A network with the recipe that it is timed by."""

    name: str
    recipe: Recipe


def cases(batch: int, fast_batch: int) -> list[Case]:
    """fastnet by the shipped recipe at its two sizes, the ResNets by the thesis's."""
    found = []
    for size in (24, 32):
        told = recipe("fast", size=size, batch_size=fast_batch, micro_batch=min(fast_batch, 125))
        found.append(Case(f"fastnet, {size} px", told))
    for network, stem in (
        *((f"resnet{n}", "imagenet") for n in (18, 34, 50)),
        ("resnet18", "cifar"),
    ):
        told = recipe("thesis", network=network, stem=stem, batch_size=batch, micro_batch=batch)
        # Shifts and mirroring as everybody has them; the thesis had none.
        told = recipe("thesis", **{**told.to_dict(), "shift": 2, "mirror": True})
        found.append(Case(f"{network}, {stem} stem, 32 px", told))
    return found


def pictures(told: Recipe, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise for ``batches`` batches: uint8 [N, size, size, 3] and int64 [N]."""
    generator = np.random.default_rng(0)
    count = batches * told.batch_size
    pixels = generator.integers(0, 256, (count, told.size, told.size, 3), dtype=np.uint8)
    return pixels, generator.integers(0, CLASSES, count)


def ours(
    network: nn.Module, told: Recipe, pixels: np.ndarray, labels: np.ndarray, bfloat16: bool
) -> Iterator[int]:
    """The steps of `vizinho.train.loop` until closed; yields the number of images after each."""
    batches = Batches(pixels, labels, batch_size=told.batch_size, shift=told.shift)
    loss = build_loss(told, CLASSES)
    optimisers = build_optimisers(told, network, loss)
    monitor = collapse_monitor(told, CLASSES)
    team = Team(network, loss, cores_for(told, len(labels), CPU))
    precision = Precision("bfloat16" if bfloat16 else "float32", CPU)
    network.train()
    epoch = 0
    while True:
        for images, wanted, _ in batches.epoch(epoch):
            embeddings, value = team.learn(images, wanted, told, precision)
            # Noise teaches nothing, and saying so is the monitor's task: its time counts, not that.
            monitor.patience = sys.maxsize
            monitor.update(embeddings, value, wanted)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            yield len(wanted)
        epoch += 1


def rate(steps: Iterator[int], seconds: float) -> float:
    """Images a second over at least ``seconds`` and two steps, the first step left out."""
    with closing(steps):  # type: ignore[type-var]
        next(steps)
        images, made, began = 0, 0, time.perf_counter()
        while made < 2 or time.perf_counter() - began < seconds:
            images += next(steps)
            made += 1
        return images / (time.perf_counter() - began)


def peak(bfloat16: bool, side: int = 2048) -> float:
    """GFLOP/s of a large matrix product, the better of three."""
    kind = torch.bfloat16 if bfloat16 else torch.float32
    left, right = torch.randn(2, side, side).to(kind)
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        left @ right
        best = max(best, 2 * side**3 / (time.perf_counter() - began) / 1e9)
    return best


def gflop(network: nn.Module, told: Recipe) -> float:
    """Billions of operations that one image costs, forward and backward, convolved directly."""
    count = 4
    counter = FlopCounterMode(display=False)
    with counter:
        network.train()(torch.randn(count, 3, told.size, told.size)).sum().backward()
    return float(counter.get_total_flops()) / count / 1e9


def compared(case: Case, bfloat16: bool, rounds: int, seconds: float) -> dict[str, Any]:
    """One network's figures: medians over the rounds and the median of their ratios."""
    torch.manual_seed(0)
    network = build_network(case.recipe)
    plain = train_plain.plainly(copy.deepcopy(network))
    work = gflop(copy.deepcopy(plain), case.recipe)
    data = pictures(case.recipe, batches=4)
    mine, theirs, peaks = [], [], []
    for _ in range(rounds):
        peaks.append(peak(bfloat16))
        mine.append(rate(ours(network, case.recipe, *data, bfloat16), seconds))
        theirs.append(rate(train_plain.steps(plain, case.recipe, *data, bfloat16), seconds))
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    return {
        "network": case.name,
        "precision": "bfloat16" if bfloat16 else "float32",
        "batch": case.recipe.batch_size,
        "ours_images_per_second": round(median(mine), 1),
        "plain_images_per_second": round(median(theirs), 1),
        "times_faster": round(median(ratios), 2),
        "times_faster_smallest": round(min(ratios), 2),
        "times_faster_largest": round(max(ratios), 2),
        "gflop_per_image": round(work, 4),
        "peak_gflops": round(max(peaks), 1),
        "ours_share_of_peak": round(work * median(mine) / max(peaks), 3),
        "plain_share_of_peak": round(work * median(theirs) / max(peaks), 3),
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each side in each round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=128, help="of the ResNets")
    parser.add_argument("--fast-batch", type=int, default=500, help="of fastnet")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument(
        "--quick", action="store_true", help="measures nothing: shows that it works"
    )
    told = parser.parse_args()
    if told.quick:
        told.rounds, told.seconds, told.batch, told.fast_batch = 1, 0.0, 16, 32
    torch.set_num_threads(told.threads)
    side = 256 if told.quick else 2048
    kinds = [False, True]
    if peak(True, side) < peak(False, side):
        print("bfloat16 is skipped: this processor emulates it, more slowly than float32.\n")
        kinds = [False]
    chosen = [case for case in cases(told.batch, told.fast_batch) if told.only in case.name]
    if told.quick:
        chosen = [case for case in chosen if "34" not in case.name and "50" not in case.name]
    print("| network | arithmetic | batch | ours, images/s | plain | times faster | of peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    results = []
    for case in chosen:
        for bfloat16 in kinds:
            found = compared(case, bfloat16, told.rounds, told.seconds)
            results.append(found)
            print(
                f"| {found['network']} | {found['precision']} | {found['batch']}"
                f" | {found['ours_images_per_second']} | {found['plain_images_per_second']}"
                f" | {found['times_faster']} ({found['times_faster_smallest']}"
                f" to {found['times_faster_largest']})"
                f" | {found['ours_share_of_peak']:.0%} and {found['plain_share_of_peak']:.0%} |",
                flush=True,
            )
    print()
    last_line("train", threads=told.threads, quick=told.quick, results=results)


if __name__ == "__main__":
    main()
