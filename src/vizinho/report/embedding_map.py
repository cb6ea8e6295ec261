"""The map: embeddings on a plane with their pictures, to explore in a browser and as a PNG."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vizinho.datasets import LabelledImages
from vizinho.evaluate import BundleEvaluation, precision_at_1
from vizinho.progress import Progress
from vizinho.projection.points import Plane, choose_points, columns_of, project, rounded
from vizinho.report.fonts import drawable

#: Side of a thumbnail; a multiple of 16, so that none bleeds into the next in the JPEG.
SIDE = 32
QUALITY = 72
#: Chosen by search so that any two are apart for people with and without colour blindness
#: (protanopia, deuteranopia, tritanopia), and have a contrast of at least 3 to the ground.
PALETTE = {
    "light": ["#0c64a8", "#ba4900", "#00946d", "#d368b1", "#999521", "#33207f", "#0097f7",
              "#775a6c", "#881939", "#111111"],
    "dark": ["#745dd1", "#eba008", "#009961", "#c86db4", "#ffe553", "#8c9aff", "#eb5100",
             "#bfaaaf", "#97e0ff", "#ffffff"],
}  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: More classes than this have no legend in the PNG.
LEGEND_MOST = 30


@dataclass(frozen=True)
class EmbeddingMap:
    """A part of a measured set on a plane."""

    evaluation: BundleEvaluation
    points: NDArray[np.int64]
    """[P] positions in the evaluation's data set."""
    plane: Plane

    @property
    def labels(self) -> NDArray[np.int64]:
        """[P]"""
        return self.evaluation.dataset.labels[self.points]

    def sentence(self) -> str:
        """How many of how many, by what method, and how far to trust it."""
        shown, there = len(self.points), len(self.evaluation.dataset)
        part = (
            f"All {there:,} pictures"
            if shown == there
            else f"{shown:,} of the {there:,} pictures, the same share of each class, chosen by lot"
        )
        flat = precision_at_1(self.plane.places, self.labels)
        full = precision_at_1(self.evaluation.embeddings[self.points], self.labels)
        text = f"{part}, by {self.plane.method}."
        if np.isfinite(full):
            text += (
                f" The nearest of those shown is of the same class for {flat:.1%} on the map and "
                f"for {full:.1%} among all {self.evaluation.result.dimension} numbers: closeness "
                "on the map is a hint, distances between groups mean little."
            ).replace("%", " %")
        if self.plane.method.startswith("principal"):
            text += " With scikit-learn (pip install 'vizinho[report]') it is made by t-SNE."
        return text


def make_map(evaluation: BundleEvaluation) -> EmbeddingMap:
    """Choose the pictures to show and place them."""
    points = choose_points(evaluation.dataset.labels)
    return EmbeddingMap(evaluation, points, project(evaluation.embeddings[points]))


def map_html(shown: EmbeddingMap, progress: Progress | None = None) -> str:
    """The interactive map as a fragment of a page: markup, data, thumbnails and script.

    ``progress`` counts thumbnails. Needs the report's style sheet; one map a page.
    """
    atlas = _atlas(shown.evaluation.dataset, shown.points, progress)
    data = json.dumps(_data(shown), ensure_ascii=False, separators=(",", ":"))
    return _template().format(
        atlas=base64.b64encode(atlas).decode("ascii"),
        # "</script>" inside a name would end the element.
        data=data.replace("<", "\\u003c"),
        script=_file("map.js"),
        label=escape(f"Map of {len(shown.points):,} pictures"),
    )


def plot_map(shown: EmbeddingMap, path: Path) -> None:
    """The same points as a PNG at ``path``, without thumbnails. Raises ``OSError``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places, labels = shown.plane.places, shown.labels
    present = np.unique(labels).tolist()
    for place, label in enumerate(present):
        here = places[labels == label]
        axes.scatter(
            here[:, 0],
            1 - here[:, 1],
            s=14,
            marker=MARKERS[place % len(MARKERS)],
            color=PALETTE["light"][place % len(PALETTE["light"])],
            label=drawable(shown.evaluation.dataset.classes[label], label),
            linewidths=0,
        )
    axes.set_axis_off()
    axes.set_aspect("equal")
    if len(present) <= LEGEND_MOST:
        figure.legend(loc="outside right upper", frameon=False, markerscale=1.6, fontsize=9)
    figure.savefig(path, format="png")


def _data(shown: EmbeddingMap) -> dict[str, Any]:
    evaluation = shown.evaluation
    everywhere = evaluation.dataset.labels
    present, place = np.unique(everywhere, return_inverse=True)
    across, down = rounded(shown.plane.places).T
    return {
        "side": SIDE,
        "columns": columns_of(len(shown.points)),
        "palette": PALETTE,
        "classes": [evaluation.dataset.classes[label] for label in present],
        "x": across.tolist(),
        "y": down.tolist(),
        "label": place[shown.points].tolist(),
        "name": [evaluation.dataset.names[i] for i in shown.points],
        "near": place[evaluation.neighbours[shown.points, 0]].tolist(),
        "distance": [round(float(d), 4) for d in evaluation.distances[shown.points, 0]],
    }


def _atlas(
    dataset: LabelledImages, points: Sequence[int] | NDArray[np.int64], progress: Progress | None
) -> bytes:
    columns = columns_of(len(points))
    rows = -(-len(points) // columns)
    atlas = Image.new("RGB", (columns * SIDE, rows * SIDE))
    for number, point in enumerate(points):
        picture = ImageOps.fit(dataset.load(int(point), target=SIDE), (SIDE, SIDE))
        atlas.paste(picture, (number % columns * SIDE, number // columns * SIDE))
        if progress is not None:
            progress(number + 1, len(points))
    buffer = io.BytesIO()
    atlas.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def _template() -> str:
    return _file("map.html")


def _file(name: str) -> str:
    return resources.files("vizinho.report").joinpath(name).read_text(encoding="utf-8")
