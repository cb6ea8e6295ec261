"""A model bundle run once more, with its feature maps given out beside the embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.bundle import BundleInfo, network_file, read_model
from vizinho.embedder import INPUT, OUTPUT, open_session
from vizinho.errors import BundleError, NotExplainable
from vizinho.explain.parts import Explanation, Parts, regions, split
from vizinho.explain.tail import HINT, Tail, read_tail
from vizinho.explain.wire import with_outputs
from vizinho.images import Crop, Source, crop_image, load_image
from vizinho.preprocess import normalise, to_pixels

#: Largest difference between the embedding and the sum of its parts, as a share of the embedding's
#: largest number (absolute where that is under 1); float32 rounding is around 1e-7.
LARGEST_GAP = 1e-5

#: How far the vector kept for a picture may be from what the picture gives now, in the same
#: measure: other machines round otherwise, another picture is far beyond.
LARGEST_CHANGE = 1e-3

WHOLE = Crop(0, 0, 1, 1)


def explainable(folder: str | Path, precision: str = "fp32") -> bool:
    """Whether the network of a bundle ends in a way that can be explained; does not load it."""
    try:
        # Mapped, so that of the weights only the last layer's are read.
        file = np.memmap(Path(folder) / network_file(precision), np.uint8, mode="r")
        read_tail(file.data)
    except (OSError, ValueError, NotExplainable):
        return False
    return True


class Explainer:
    """Explains matches of one model. Safe to call from several threads at once."""

    def __init__(self, info: BundleInfo, tail: Tail, session: Any) -> None:
        self.info = info
        self._tail = tail
        self._session = session

    @classmethod
    def open(cls, folder: str | Path, *, precision: str = "fp32", threads: int = 1) -> Explainer:
        """Load a bundle's network a second time. Raises BundleError, NotExplainable."""
        info, data = read_model(folder, precision)
        tail = read_tail(data)
        names = list(dict.fromkeys(view.features for view in tail.views))
        try:
            session = open_session(with_outputs(data, names), threads, Path(folder))
        except BundleError as error:
            raise NotExplainable(f"The network gives no feature maps: {error.message}") from error
        return cls(info, tail, session)

    def explain(
        self,
        query: Source,
        match: Source,
        *,
        crop: Crop | None = None,
        kept: NDArray[np.float32] | None = None,
    ) -> Explanation:
        """Which regions of ``query`` (or of its part ``crop``) and of ``match`` made them alike.

        ``kept`` float32 [D] is the embedding that the match was found by; the distance is to that
        one. Raises ImageError for a picture that can't be used, and NotExplainable where the parts
        don't add up to the embeddings, or ``match`` does not give ``kept`` any more.
        """
        seen = [self._seen(query, crop), self._seen(match, None)]
        pixels = normalise(np.stack([each for each, _ in seen]), self.info.preprocess)
        outputs = [node.name for node in self._session.get_outputs()]
        found = dict(zip(outputs, self._session.run(outputs, {INPUT: pixels}), strict=True))
        parts = [self._split(found, number) for number in (0, 1)]
        vectors = [part.vector for part in parts]
        if kept is not None and not _gap(vectors[1], kept) < LARGEST_CHANGE:
            raise NotExplainable(
                "The picture is not the one any more that the gallery has embedded.",
                "Index it again.",
            )
        ahead = found[OUTPUT][0].astype(np.float64)
        away = np.asarray(found[OUTPUT][1] if kept is None else kept, np.float64)
        return Explanation(
            distance=float(np.linalg.norm(ahead - away)),
            similarity=float(vectors[0] @ vectors[1]),
            query=regions(parts[0], vectors[1], seen[0][1]),
            match=regions(parts[1], vectors[0], seen[1][1]),
        )

    def _split(self, found: dict[str, NDArray[np.float32]], number: int) -> Parts:
        """The parts of one picture of the batch, checked against its embedding."""
        maps = {view.features: found[view.features][number] for view in self._tail.views}
        parts = split(self._tail, maps, self.info.preprocess.size)
        embedding = found[OUTPUT][number]
        if not _gap(parts.vector, embedding) < LARGEST_GAP:
            raise NotExplainable("The network's parts do not add up to its embedding.", HINT)
        return parts

    def _seen(self, source: Source, crop: Crop | None) -> tuple[NDArray[np.uint8], Crop]:
        """A picture as the network sees it, uint8 [H, W, 3], and which part of it that is."""
        spec = self.info.preprocess
        # As a search reads it: with a crop from all pixels, otherwise scaled while decoding.
        image = load_image(source, target=None if crop else spec.size)
        if crop is not None:
            image = crop_image(image, crop)
        box = crop or WHOLE
        if spec.fit == "crop":
            side = min(image.size)
            high, wide = (1 - side / image.height) / 2, (1 - side / image.width) / 2
            tall, broad = box.bottom - box.top, box.right - box.left
            box = Crop(
                box.top + high * tall,
                box.left + wide * broad,
                box.bottom - high * tall,
                box.right - wide * broad,
            )
        return to_pixels(load_image(image), spec), box


def _gap(parts: NDArray[np.float64], vector: NDArray[np.float32]) -> float:
    """How far two embeddings are apart, in the measure of `LARGEST_GAP`."""
    if parts.shape != vector.shape:
        return float("inf")
    scale = max(1.0, float(np.abs(vector).max()))
    return float(np.abs(parts - vector).max()) / scale
