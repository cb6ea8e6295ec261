"""Contact sheets as HTML: real text, pictures inside the page, folding to the width there is."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizinho.datasets import LabelledImages
from vizinho.evaluate import BundleEvaluation

#: Larger pictures are shrunk to it; smaller ones stay as they are and are enlarged by the browser.
SIDE = 72
QUALITY = 88


def sheet_html(evaluation: BundleEvaluation, queries: Sequence[int] | NDArray[np.int64]) -> str:
    """Each query with its nearest pictures, distances below, wrong ones framed and named."""
    return "\n".join(_row(evaluation, int(query)) for query in queries)


def _row(evaluation: BundleEvaluation, query: int) -> str:
    dataset = evaluation.dataset
    label = dataset.labels[query]
    name = escape(dataset.classes[label])
    answers = []
    for neighbour, distance in zip(
        evaluation.neighbours[query], evaluation.distances[query], strict=True
    ):
        other = escape(dataset.classes[dataset.labels[neighbour]])
        right = dataset.labels[neighbour] == label
        picture = _picture(dataset, int(neighbour), other, "yes" if right else "no")
        told = f"{distance:.2f}" if right else f'<span class="wrong">{distance:.2f} {other}</span>'
        answers.append(f"<li>{picture}{told}</li>")
    asked = _picture(dataset, query, f"Query: {name}", "")
    return (
        f'<div class="query"><div class="asked">{asked}{name}</div>\n'
        f'<ol class="answers">{"".join(answers)}</ol></div>'
    )


def _picture(dataset: LabelledImages, position: int, alt: str, kind: str) -> str:
    picture = dataset.load(position, target=SIDE)
    small = max(picture.size) < SIDE
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    # Small pictures keep their pixels' edges: a blurred CIFAR image shows less, not more.
    marks = " ".join(filter(None, ("tile", kind, "small" if small else "")))
    title = escape(dataset.names[position])
    return f'<img class="{marks}" alt="{alt}" title="{title}" src="data:image/jpeg;base64,{data}">'


def group_texts(groups: Mapping[str, Sequence[int] | NDArray[np.int64]]) -> dict[str, str]:
    """What each group of ``choose_queries`` is, in a sentence."""
    texts = {
        "good": "Drawn from those with the most right neighbours, spread over the classes.",
        "random": "Drawn from all by chance.",
        "worst": "Confident failures: no neighbour is right, all are of one class, and the nearest "
        "is nearest; where there are too few of them, those with the fewest right ones.",
    }
    return {name: texts.get(name, "") for name in groups}
