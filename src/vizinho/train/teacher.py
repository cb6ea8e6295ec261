"""What trained models teach another: for each training image, how near it is to every class."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vizinho.embedder import Embedder
from vizinho.progress import Progress
from vizinho.train.data import Pixels, resized
from vizinho.train.recipes import Recipe


class Distilled(nn.Module):
    """``share`` x what the teachers say + (1 - ``share``) x ``loss``.

    The teachers' part is the cross-entropy between their posterior over the classes and the
    softmax of the cosines to one learned proxy per class, divided by ``temperature``. Source: G.
    Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2,
    without its factor of squared temperature, since both sides keep the one temperature.
    """

    def __init__(
        self, loss: nn.Module, classes: int, dimension: int, temperature: float, share: float
    ) -> None:
        super().__init__()
        self.loss = loss
        self.proxies = nn.Parameter(torch.empty(classes, dimension))
        nn.init.orthogonal_(self.proxies)
        self.temperature = temperature
        self.share = share

    def forward(self, embeddings: Tensor, labels: Tensor, posterior: Tensor) -> Tensor:
        """Embeddings [N, D], labels int64 [N], posterior [N, classes] -> scalar."""
        logits = F.normalize(embeddings) @ F.normalize(self.proxies).T / self.temperature
        taught = F.cross_entropy(logits, posterior)
        told: Tensor = self.loss(embeddings, labels)
        return self.share * taught + (1 - self.share) * told


def posteriors(
    pixels: Pixels,
    recipe: Recipe,
    kept: Path,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Tensor:
    """The teachers' mean posterior for the N training images: float32 [N, classes], rows sum to 1.

    A teacher is any model bundle: its posterior is the softmax of the cosines between an image's
    embedding and the classes' mean embeddings over the recipe's temperature. Embedding takes
    minutes, so the result is kept in the file ``kept`` and taken from there when nothing changed.
    Raises ``BundleError`` for a teacher that can't be read.
    """
    teachers = [Embedder.open(name.strip(), threads=threads) for name in recipe.teacher.split(",")]
    prints = [teacher.fingerprint for teacher in teachers]
    text = "\n".join([*prints, pixels.digest, str(recipe.temperature)])
    key = hashlib.sha256(text.encode()).hexdigest()
    if kept.exists():
        with np.load(kept) as found:
            if str(found["key"]) == key:
                return torch.from_numpy(found["posterior"])
    images = pixels.train[recipe.size]
    total = len(images) * len(teachers)
    mean = np.zeros((len(images), len(pixels.classes)), dtype=np.float32)
    for number, teacher in enumerate(teachers):

        def report(done: int, _: int | None, before: int = number * len(images)) -> None:
            if progress:
                progress(before + done, total)

        embeddings = teacher.embed_pixels(resized(images, teacher.spec), progress=report)
        mean += posterior(embeddings, pixels.labels, len(pixels.classes), recipe.temperature)
    mean /= len(teachers)
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_suffix(".part.npz")
    np.savez(beside, key=key, posterior=mean)
    beside.replace(kept)
    return torch.from_numpy(mean)


def posterior(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], classes: int, temperature: float
) -> NDArray[np.float32]:
    """[N, D] with labels [N] -> softmax over the cosines to the class means: [N, classes]."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    sums = np.zeros((classes, unit.shape[1]), dtype=np.float64)
    np.add.at(sums, labels, unit)
    # A class without an image keeps a mean of zero: its cosines are zero, not nan.
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    logits = unit @ means.T / temperature
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
