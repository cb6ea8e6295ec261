"""What does the record cost on a GPU? ``python benchmarks/record.py`` counts; it trains nothing.

Counts the floating-point operations of every training that ``vizinho train --recipe record``
makes, teachers first, from networks without weights, and divides them by an assumed speed. The last
line is JSON. ``--set FIELD=VALUE`` changes the recipe as it does for ``vizinho train``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from vizinho.train.lessons import trainings
from vizinho.train.networks import build_network
from vizinho.train.passes import SAMPLE
from vizinho.train.recipes import Recipe, changes, recipe

#: What an H200 is rated at: bfloat16, dense (NVIDIA's data sheet).
PEAK_TFLOPS = 989.0


def forward(told: Recipe) -> tuple[float, int]:
    """Operations of one side of one picture through the network, and the network's weights."""
    with torch.device("meta"):
        network = build_network(replace(told, mirrored=False)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, told.size, told.size))
    return float(counter.get_total_flops()), sum(w.numel() for w in network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="pictures, held-out ones too")
    parser.add_argument(
        "--tflops", type=float, nargs="+", default=[100.0, 250.0], help="assumed speeds"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="told")
    options = parser.parse_args()
    student = recipe("record", **changes(options.told))
    order = trainings(student, Path("record.run"))
    asked = sum(forward(told)[0] for told, _ in order[:-1])
    rows, total = [], 0.0
    for told, place in order:
        once, weights = forward(told)
        learned = (options.images - told.holdout) * told.epochs
        # Backwards costs twice what forwards does. Measured are both sides of what is held out.
        work = learned * 3 * once
        work += told.epochs * once * (2 * told.holdout + (SAMPLE if told.average else 0))
        work += learned * asked if told is student else 0.0
        total += work
        minutes = [work / (speed * 1e12) / 60 for speed in options.tflops]
        rows.append(
            {
                "training": place.name,
                "network": told.network,
                "weights": weights,
                "forward_gflop_per_image": round(once / 1e9, 3),
                "epochs": told.epochs,
                "petaflop": round(work / 1e15, 1),
                "minutes": [round(each, 1) for each in minutes],
            }
        )
        print(
            f"{place.name:<12} {told.network:<10} {weights / 1e6:6.2f} M weights"
            f" {once / 1e9:7.3f} GFLOP forward, {told.epochs:>3} epochs: {work / 1e15:7.1f} PFLOP, "
            + " / ".join(f"{each:.0f}" for each in minutes)
            + " min"
        )
    speeds = ", ".join(f"{s:g} ({s / PEAK_TFLOPS:.0%} of an H200's peak)" for s in options.tflops)
    print(f"Minutes at {speeds} TFLOP/s, assumed and not measured.")
    print(
        json.dumps(
            {
                "benchmark": "record",
                "assumed_tflops": options.tflops,
                "petaflop": round(total / 1e15, 1),
                "minutes": [round(total / (s * 1e12) / 60, 1) for s in options.tflops],
                "trainings": rows,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
