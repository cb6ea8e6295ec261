"""A small measured set that holds what reports have to show."""

from __future__ import annotations

from pathlib import Path

from toys import make_toy_bundle, noise, plain
from vizinho.datasets import load_dataset
from vizinho.embedder import Embedder
from vizinho.evaluate import BundleEvaluation, evaluate_bundle


def measure_colours(root: Path) -> BundleEvaluation:
    """Plain pictures in shades of red and blue, one red one filed under blue, one lone class."""
    pictures = root / "pictures"
    for i in range(12):
        for name, colour in (("blue <sky>", (0, 0, 90 + 10 * i)), ("red", (90 + 10 * i, 0, 0))):
            (pictures / name).mkdir(parents=True, exist_ok=True)
            plain(colour).save(pictures / name / f"{i:02}.png")
    plain((145, 0, 0)).save(pictures / "blue <sky>" / "wrong.png")
    (pictures / "lone").mkdir()
    noise(1).save(pictures / "lone" / "0.png")
    embedder = Embedder.open(make_toy_bundle(root))
    return evaluate_bundle(embedder, load_dataset(str(pictures)))


def position(measured: BundleEvaluation, end: str) -> int:
    return next(i for i, name in enumerate(measured.dataset.names) if name.endswith(end))
