"""How many minutes from nothing to a Top-1 of 87.49 %, the best of the thesis?

Trains the recipe `quick` on CIFAR-10's training images, 2,000 of which are held out and measured on
after every epoch: that is the curve, and all that choices were made by. When the training is done
its network is measured once on the 10,000 test images, and that figure is compared with `--to`. The
time is the training's own, from the first step to the end of the last epoch, decoding beforehand
told apart. Wall-clock minutes mean what the machine's load lets them mean, so processor minutes of
all threads stand beside them. Needs torch and CIFAR-10.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from common import ROOT, last_line
from vizinho.datasets import LabelledImages, load_dataset
from vizinho.evaluate import precision_at_1
from vizinho.settings import load
from vizinho.train.loop import train
from vizinho.train.passes import embed
from vizinho.train.recipes import changes, recipe
from vizinho.train.watching import EpochRecord, Progress

THESIS = 87.49


class Teller:
    """Prints a line an epoch."""

    def __init__(self) -> None:
        self.began: float | None = None

    def note(self, text: str) -> None:
        print(text)

    def step(self, progress: Progress) -> bool:
        self.began = self.began or time.monotonic()
        return True

    def epoch(self, record: EpochRecord) -> None:
        top1 = "" if record.precision_at_1 is None else f"{100 * record.precision_at_1:.2f} %"
        print(
            f"| {record.epoch} | {record.size} px | {record.seconds / 60:.2f}"
            f" | {record.cpu_seconds / 60:.2f} | {record.loss:.3f} | {top1} |",
            flush=True,
        )


def images(part: str, count: int | None) -> LabelledImages:
    """CIFAR-10's ``part``, evenly thinned to ``count`` images."""
    shared = ROOT.parent / "shared" / "datasets"
    folder = shared if shared.is_dir() and "VIZINHO_DATA" not in os.environ else load().data_dir
    dataset = load_dataset(f"cifar10:{part}", data_dir=folder)
    return dataset.subset(range(0, len(dataset), len(dataset) // (count or len(dataset))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=float, default=THESIS, help="Top-1 on test, in percent")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of the recipe")
    parser.add_argument(
        "--quick", action="store_true", help="measures nothing: shows that it works"
    )
    told = parser.parse_args()
    fields: dict[str, Any] = changes(told.set)
    if told.quick:
        fields |= {"epochs": 2, "low_share": 0.5, "low_size": 18, "size": 20, "holdout": 20}
        fields |= {"batch_size": 40, "micro_batch": 40}
    chosen = recipe("quick", **fields)
    few = 200 if told.quick else None
    print("| epoch | pictures | minutes | processor minutes | loss | Top-1, held out |")
    print("| --- | --- | --- | --- | --- | --- |")
    began, teller = time.monotonic(), Teller()
    with tempfile.TemporaryDirectory() as folder:
        done = train(chosen, images("train", few), Path(folder), teller, threads=told.threads)
    decoding = (teller.began or began) - began
    test = images("test", few)
    pixels, kept = test.pixels(chosen.spec)
    device = next(done.network.parameters()).device
    with torch.no_grad():
        found = embed(done.network, pixels, chosen, device)
    top1 = 100 * precision_at_1(found, test.labels[kept])
    last = done.progress.records[-1]
    print(
        f"\nTop-1 on {len(pixels):,} test images: {top1:.2f} %,"
        f" {'at least' if top1 >= told.to else 'below'} {told.to} %, after"
        f" {last.seconds / 60:.2f} minutes ({last.cpu_seconds / 60:.2f} of processor time on"
        f" {told.threads} threads, measuring included) and {decoding:.0f} s of decoding."
    )
    last_line(
        "time_to_top1",
        quick=told.quick,
        threads=told.threads,
        recipe=chosen.to_dict(),
        goal_percent=told.to,
        test_top1_percent=round(top1, 2),
        test_images=len(pixels),
        reached=top1 >= told.to,
        minutes=round(last.seconds / 60, 2),
        cpu_minutes=round(last.cpu_seconds / 60, 2),
        decoding_seconds=round(decoding, 1),
        held_out_top1_percent=[
            None if record.precision_at_1 is None else round(100 * record.precision_at_1, 2)
            for record in done.progress.records
        ],
        n=1,
    )


if __name__ == "__main__":
    main()
