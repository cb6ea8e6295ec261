"""A model bundle measured on labelled pictures, the way a search would use it."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.bundle import BundleInfo
from vizinho.datasets import LabelledImages, Skipped
from vizinho.embedder import Embedder
from vizinho.errors import DatasetError
from vizinho.evaluate.intervals import Interval, bootstrap_interval
from vizinho.evaluate.knn import knn_correct
from vizinho.evaluate.metrics import evaluate_with_neighbours
from vizinho.evaluate.ranking import Indices
from vizinho.evaluate.result import EvaluationResult, ends
from vizinho.progress import Progress

#: Neighbours that are kept for each query, for contact sheets.
NEIGHBOURS = 10


@dataclass(frozen=True)
class BundleEvaluation:
    """What a bundle achieves on a data set, with what is needed to show it."""

    info: BundleInfo
    dataset: LabelledImages
    """The M pictures that could be read; ``neighbours`` holds positions in it."""
    result: EvaluationResult
    skipped: Sequence[Skipped]
    """Those that couldn't, and why."""
    neighbours: Indices
    """[M, k] the k = 10 nearest others, nearest first; fewer in a smaller set."""
    distances: NDArray[np.float32]
    """[M, k] Euclidean."""
    knn_accuracy: float | None
    """Majority of the ``NEIGHBOURS`` nearest pictures of ``against``; None without it."""
    knn_interval: Interval | None
    against: str | None
    against_count: int
    images_per_second: float
    """Embedding alone, pictures decoded before."""
    embeddings: NDArray[np.float32]
    """[M, D]"""
    machine: dict[str, str]
    date: str

    def to_dict(self, *, full: bool = True) -> dict[str, Any]:
        """As plain JSON types: all of it for ``--json``, less of it for a bundle's metrics."""
        plain: dict[str, Any] = {"dataset": self.dataset.name, **self.result.to_dict(full=full)}
        if self.knn_accuracy is not None and self.knn_interval is not None:
            plain |= {
                "knn_accuracy": round(self.knn_accuracy, 6),
                "knn_accuracy_interval": ends(self.knn_interval),
                "knn_k": NEIGHBOURS,
                "knn_against": self.against,
                "knn_references": self.against_count,
            }
        plain |= {"skipped": len(self.skipped), "date": self.date, "machine": self.machine}
        return plain


def evaluate_bundle(
    embedder: Embedder,
    dataset: LabelledImages,
    *,
    against: LabelledImages | None = None,
    progress: Progress | None = None,
) -> BundleEvaluation:
    """Embed every picture of ``dataset`` and measure, leave-one-out.

    With ``against`` (a training set) also the kNN accuracy from it to ``dataset``. Pictures that
    can't be read are left out and listed. ``progress`` counts pictures decoded, embedded, asked.
    Raises ``DatasetError`` when fewer than two pictures are left, ``BundleError``.
    """
    references = against
    if against is not None:
        # Labels are positions in a set's own classes; both must count in the same ones.
        classes = [*dataset.classes, *(c for c in against.classes if c not in dataset.classes)]
        dataset, references = dataset.with_classes(classes), against.with_classes(classes)
    steps = _steps(progress, 3 * len(dataset) + (2 * len(references) if references else 0))
    kept, embeddings, seconds = _embed(embedder, dataset, steps)
    if len(kept) < 2:
        raise DatasetError(
            f"{dataset.name} has {len(kept)} readable picture.",
            "Measuring needs at least two, and two of a class to find each other.",
        )
    accuracy, interval, references_count = None, None, 0
    if references is not None:
        known, known_embeddings, _ = _embed(embedder, references, steps)
        references_count = len(known)
        named = knn_correct(known_embeddings, known.labels, embeddings, kept.labels, NEIGHBOURS)
        accuracy, interval = float(named.mean()), bootstrap_interval(named)
    result, nearest = evaluate_with_neighbours(
        embeddings, kept.labels, NEIGHBOURS, classes=kept.classes, progress=next(steps)
    )
    return BundleEvaluation(
        info=embedder.info,
        dataset=kept,
        result=result,
        skipped=tuple(dataset.skipped),
        neighbours=nearest.indices,
        distances=nearest.distances,
        knn_accuracy=accuracy,
        knn_interval=interval,
        against=against.name if against is not None else None,
        against_count=references_count,
        images_per_second=len(kept) / seconds,
        embeddings=embeddings,
        machine=machine(),
        date=datetime.now(UTC).date().isoformat(),
    )


def machine() -> dict[str, str]:
    """Processor and the versions that figures depend on."""
    import onnxruntime

    return {
        "processor": _processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _embed(
    embedder: Embedder, images: LabelledImages, steps: Iterator[Progress | None]
) -> tuple[LabelledImages, NDArray[np.float32], float]:
    pixels, kept = images.pixels(embedder.spec, next(steps))
    start = time.perf_counter()
    embeddings = embedder.embed_pixels(pixels, progress=next(steps))
    return images.subset(kept), embeddings, time.perf_counter() - start


def _steps(progress: Progress | None, total: int) -> Iterator[Progress | None]:
    """A callback for each stage in turn; together they count up to ``total`` once."""
    if progress is None:
        while True:
            yield None
    base = done = 0

    def report(stage_done: int, _: int | None) -> None:
        nonlocal done
        done = base + stage_done
        progress(done, total)

    while True:
        yield report
        base = done


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
