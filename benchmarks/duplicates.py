"""How well `vizinho dedupe` finds changed copies, how often it errs, and what it costs at size.

    python benchmarks/duplicates.py                 # some three minutes of one core
    python benchmarks/duplicates.py --quick         # a look, half a minute

Thresholds are looked at on pictures of CIFAR-10's training set (``thresholds``); recall and false
alarms are reported on its test set, on the same enlarged to 128 px, and on scenes of 480 x 360 made
by ``tests/toy_scenes.py``. False alarms among scenes are certain, for all are different; among test
pictures every pair that is found counts, the true duplicates that CIFAR-10 has too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from toy_scenes import CHANGES, scene
from vizinho.datasets import load_dataset
from vizinho.gallery.copies import BITS_APART
from vizinho.perceptual import (
    AGREE,
    FORM,
    LENGTH,
    SAME,
    agreement,
    candidates,
    forms,
    frequencies,
    likeness,
    turned,
)
from vizinho.settings import default_data_dir

Pairs = dict[tuple[int, int], float]


def cifar(split: str, count: int, side: int = 32, seed: int = 0) -> list[Image.Image]:
    """Pictures of CIFAR-10, drawn by chance, enlarged to ``side``."""
    pictures = load_dataset(f"cifar10:{split}", data_dir=default_data_dir())
    chance = np.random.default_rng(seed)
    chosen = np.sort(chance.choice(len(pictures), min(count, len(pictures)), replace=False))
    images = [pictures.load(int(i)) for i in chosen]
    return [image.resize((side, side), Image.Resampling.BICUBIC) for image in images]


def proposed(images: Sequence[Image.Image]) -> Pairs:
    """Pairs that the hashes propose, with the agreement of their frequencies."""
    found = np.array([frequencies(image) for image in images])
    every = forms(found, np.arange(len(images)))
    wide, pairs = found.astype(np.float32), {}
    for left, right in candidates(every, BITS_APART):
        one, other = every[left], every[right]
        apart = one["owner"] != other["owner"]
        one, other = one[apart], other[apart]
        some = turned(wide[one["owner"]], one["turn"])
        near = agreement(some, turned(wide[other["owner"]], other["turn"]))
        for a, b, value in zip(one["owner"], other["owner"], near, strict=True):
            pair = (int(min(a, b)), int(max(a, b)))
            if value >= AGREE:
                pairs[pair] = max(pairs.get(pair, 0.0), float(value))
    return pairs


def recalls(images: Sequence[Image.Image], least: float = SAME) -> dict[str, float]:
    """For each change the share of changed copies that is found among all the originals."""
    told = {}
    for name, change in CHANGES.items():
        copies = [change(image) for image in images]
        pairs = proposed([*images, *copies])
        count = len(images)
        right = sum(
            likeness(image, copies[i]).correlation >= least
            for i, image in enumerate(images)
            if (i, i + count) in pairs
        )
        told[name] = right / count
    return told


def found_pairs(images: Sequence[Image.Image], least: float = SAME) -> list[float]:
    """Correlations of all pairs that count as copies."""
    every = (likeness(images[a], images[b]).correlation for a, b in proposed(images))
    return sorted(value for value in every if value >= least)


def cost(count: int) -> dict[str, Any]:
    """Proposing pairs among ``count`` hashes of pictures that are all different, from a file."""
    chance = np.random.default_rng(1)
    falling = 1 / np.arange(1, LENGTH + 1, dtype=np.float32)
    with tempfile.NamedTemporaryFile() as file:
        for start in range(0, count, 20_000):
            some = min(20_000, count - start)
            made = (chance.normal(size=(some, LENGTH)) * falling * 500).astype(np.float16)
            file.write(forms(made, np.arange(start, start + some)).tobytes())
        file.flush()
        every = np.memmap(file.name, dtype=FORM, mode="r")
        start_time = time.process_time()
        pairs = sum(len(left) for left, _ in candidates(every, BITS_APART))
        seconds = time.process_time() - start_time
        tracemalloc.start()
        for _ in candidates(every, BITS_APART):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {
            "pictures": count,
            "hashes": len(every),
            "proposed": pairs,
            "cpu_s": round(seconds, 2),
            "peak_memory_mb": round(peak / 1e6, 1),
            "all_pairs": count * (count - 1) // 2,
        }


def main() -> None:
    """Measure, print tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    count, many = (40, 1500) if quick else (200, 10_000)
    answer: dict[str, Any] = {"same": SAME, "agree": AGREE, "bits_apart": BITS_APART, "n": count}
    answer["cost"] = [cost(size) for size in ((20_000,) if quick else (10_000, 100_000, 1_000_000))]
    for line in answer["cost"]:
        print(line)
    train = cifar("train", many, seed=3)
    found = found_pairs(train, 0.90)
    answer["thresholds"] = {
        str(least): {
            "pairs found in train": sum(value >= least for value in found),
            "recall": {
                name: value
                for name, value in recalls(train[:count], least).items()
                if "JPEG" in name or "cropped" in name
            },
        }
        for least in (0.93, 0.95, 0.965)
    }
    print(json.dumps(answer["thresholds"], indent=1))
    sets = {
        "CIFAR-10 test, 32 px": cifar("test", count, seed=4),
        "CIFAR-10 test at 128 px": cifar("test", count, 128, seed=4),
        "scenes, 480 x 360": [scene(seed) for seed in range(count)],
    }
    answer["recall"] = {name: recalls(images) for name, images in sets.items()}
    print(f"{'':34}", *(f"{name:>26}" for name in sets))
    for change in CHANGES:
        print(f"{change:34}", *(f"{answer['recall'][name][change]:26.1%}" for name in sets))
    alarms = {
        "CIFAR-10 test, 32 px": cifar("test", many),
        "scenes, 120 x 90": [scene(s, (120, 90)) for s in range(300 if quick else 3000)],
    }
    answer["found_among_different"] = {}
    for name, images in alarms.items():
        pairs = len(images) * (len(images) - 1) // 2
        hits = len(found_pairs(images))
        told = {"pairs": pairs, "found": hits, "per_100000_pairs": hits / pairs * 1e5}
        answer["found_among_different"][name] = told
        print(name, told)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
