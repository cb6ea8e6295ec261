"""What trained models teach another: how near an image is to every class.

Model bundles are asked once about each training image; checkpoints of trainings are asked in every
step about the very pictures that the student is shown. The second costs a pass through the teachers
a step, and is what makes a long distillation pay: L. Beyer et al., "Knowledge distillation: A good
teacher is patient and consistent" (CVPR 2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vizinho.embedder import Embedder
from vizinho.errors import SettingsError, TrainingError
from vizinho.progress import Progress
from vizinho.train import checkpoint
from vizinho.train.batches import normalise
from vizinho.train.data import Pixels, resized
from vizinho.train.lessons import BY_RECIPE, places
from vizinho.train.networks import Mirrored, build_network, load_weights
from vizinho.train.objectives import temperature
from vizinho.train.passes import EMBED_BATCH, as_many, embed, spread
from vizinho.train.precision import Precision
from vizinho.train.proxy_losses import Proxies
from vizinho.train.recipes import Recipe


class Distilled(Proxies):
    """``share`` x what the teachers say + (1 - ``share``) x ``loss``.

    The teachers' part is the cross-entropy between their posterior over the classes and the
    softmax of the cosines to one learned proxy per class, divided by ``temperature``. Source: G.
    Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2,
    without its factor of squared temperature, since both sides keep the one temperature.
    """

    def __init__(
        self, loss: nn.Module, classes: int, dimension: int, temperature: float, share: float
    ) -> None:
        super().__init__(classes, dimension)
        self.loss = loss
        self.temperature = temperature
        self.share = share

    def forward(self, embeddings: Tensor, labels: Tensor, posterior: Tensor) -> Tensor:
        """Embeddings [N, D], labels int64 [N], posterior [N, classes] -> scalar."""
        logits = self.cosines(embeddings) / self.temperature
        taught = F.cross_entropy(logits, posterior)
        told: Tensor = self.loss(embeddings, labels)
        return self.share * taught + (1 - self.share) * told


class Teaching(Protocol):
    """Whoever says how near the images of a batch are to the classes."""

    def __call__(self, images: Tensor, indices: Tensor, precision: Precision) -> Tensor:
        """float32 [B, classes] on the device of ``images``, rows sum to 1.

        ``images`` uint8 [B, H, H, 3] are as the student sees them, ``indices`` [B] say which of the
        training images they were.
        """


def teaching(
    recipe: Recipe,
    pixels: Pixels,
    run: Path,
    device: torch.device,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Teaching:
    """The recipe's teachers, ready to be asked; ``run`` is the folder of the student's training.

    Raises ``SettingsError`` where bundles and checkpoints are mixed, ``BundleError`` and
    ``TrainingError`` for a teacher that can't be read or does not know the student's classes.
    """
    if recipe.teacher.startswith(BY_RECIPE):
        files = [place / "checkpoint.pt" for place in places(recipe, run)]
        return LiveTeachers(files, pixels, recipe, device, same_data=True)
    named = [Path(name.strip()).expanduser() for name in recipe.teacher.split(",")]
    live = [name / "checkpoint.pt" if name.is_dir() else name for name in named]
    found = [file.is_file() for file in live]
    if all(found):
        return LiveTeachers(live, pixels, recipe, device)
    if any(found):
        raise SettingsError(
            "Teachers are either all model bundles or all checkpoints.",
            "Name for each the folder of its training (MODEL.run), or for each the model.",
        )
    table = posteriors(pixels, recipe, run / "teacher.npz", threads=threads, progress=progress)
    table = table.to(device)
    return lambda images, indices, precision: table[indices]


@dataclass(frozen=True)
class _Teacher:
    network: nn.Module
    recipe: Recipe
    #: The classes' directions, float32 [D, classes].
    directions: Tensor


class LiveTeachers:
    """Networks out of checkpoints, in evaluation mode; the mean of what they say is taught.

    A teacher's posterior is the softmax of the cosines between the image's embedding and the
    classes over the student's temperature. The classes are where the proxies of the teacher's own
    loss are, or, where it had none, the mean embeddings of training images.
    """

    def __init__(
        self,
        files: Sequence[Path],
        pixels: Pixels,
        recipe: Recipe,
        device: torch.device,
        *,
        same_data: bool = False,
    ) -> None:
        self.temperature = temperature(recipe)
        self.teachers = [_restore(file, pixels, device, same_data) for file in files]

    @torch.no_grad()
    def __call__(self, images: Tensor, indices: Tensor, precision: Precision) -> Tensor:
        parts = []
        # In parts, so that memory does not grow with the batch.
        for part in torch.split(images, as_many(EMBED_BATCH, images.shape[1])):
            said = [self._ask(teacher, part, precision) for teacher in self.teachers]
            parts.append(torch.stack(said).mean(dim=0))
        return torch.cat(parts)

    def _ask(self, teacher: _Teacher, images: Tensor, precision: Precision) -> Tensor:
        views = normalise(images, teacher.recipe.spec)
        size = teacher.recipe.size
        if views.shape[2] != size:
            views = F.interpolate(views, (size, size), mode="bilinear", antialias=True)
        with precision.autocast():
            embeddings = teacher.network(views)
        cosines = F.normalize(embeddings.float()) @ teacher.directions
        return F.softmax(cosines / self.temperature, dim=1)


def _restore(file: Path, pixels: Pixels, device: torch.device, same_data: bool) -> _Teacher:
    """The teacher in the checkpoint ``file``; with its mean weights, where it kept a mean."""
    if not file.is_file():
        raise TrainingError(
            f"The teacher {file} is not there.", "`vizinho train` trains it before the student."
        )
    state = checkpoint.load(file)
    if state["classes"] != pixels.classes:
        raise TrainingError(
            f"The teacher {file} knows other classes: {', '.join(state['classes'][:12])}.",
            "Train it on the same classes as the student.",
        )
    if same_data and state["data"] != pixels.digest:
        raise TrainingError(
            f"The teacher {file} learned from other images, or held other ones out.",
            "Give another --out, or --fresh to train the teachers again.",
        )
    # A field that is younger than the checkpoint has its default, which is what was done then.
    known = {field.name for field in fields(Recipe)}
    told = Recipe(**{name: v for name, v in state["recipe"].items() if name in known})
    network = build_network(told)
    load_weights(network, (state.get("average") or state)["network"])
    # One side: the student sees one too, and the mirror image would double the time.
    body = network.network if isinstance(network, Mirrored) else network
    body = body.to(device).eval().requires_grad_(False)
    directions = _proxies(state["loss"], len(pixels.classes), told.dimension)
    if directions is None:
        sample = spread(len(pixels.labels))
        images = resized(pixels.train[max(pixels.train)][sample], told.spec)
        found = embed(body, images, told, device)
        means = class_means(found, pixels.labels[sample], len(pixels.classes))
        directions = torch.from_numpy(means).float()
    return _Teacher(body, told, F.normalize(directions).T.to(device))


def _proxies(loss: dict[str, Any], classes: int, dimension: int) -> Tensor | None:
    """The outermost proxies in a loss's weights, [classes, dimension]; None without any."""
    names = [
        name
        for name, value in loss.items()
        if name.endswith("proxies") and value.shape == (classes, dimension)
    ]
    return loss[min(names, key=len)] if names else None


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
    text = "\n".join([*prints, pixels.digest, str(temperature(recipe))])
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
        mean += posterior(embeddings, pixels.labels, len(pixels.classes), temperature(recipe))
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
    logits = unit @ class_means(embeddings, labels, classes).T / temperature
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def class_means(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """[N, D] with labels [N] -> the direction of each class's mean, unit rows [classes, D]."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    sums = np.zeros((classes, unit.shape[1]), dtype=np.float64)
    np.add.at(sums, labels, unit)
    # A class without an image keeps a mean of zero: its cosines are zero, not nan.
    means: NDArray[np.float64] = sums / np.maximum(
        np.linalg.norm(sums, axis=1, keepdims=True), 1e-12
    )
    return means
