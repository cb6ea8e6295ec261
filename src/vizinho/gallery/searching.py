"""The searches of a gallery: by a picture, by a key, by several with weights, by vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.embedder import Embedder
from vizinho.engines import Engine
from vizinho.gallery import answers
from vizinho.gallery.examples import Example, combined, require_wanted
from vizinho.gallery.records import Matches
from vizinho.gallery.steady import steady
from vizinho.images import Crop, Source, crop_image, load_image


class Searching:
    """What `GalleryView` is asked; it is also what opens and closes the parts used here."""

    switches: int
    _engine: Engine
    _judge: answers.Judge
    _model: Path

    @property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded on first use. Raises BundleError."""
        raise NotImplementedError

    def image_bytes(self, key: str) -> tuple[bytes, str]:
        """A picture's encoded bytes and media type. Raises KeyNotFound, SourceError."""
        raise NotImplementedError

    def _follow(self) -> None:
        """Take up the model that a migration put in place since the gallery was opened."""
        raise NotImplementedError

    @steady
    def search(
        self,
        source: Source,
        *,
        k: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        crop: Crop | None = None,
    ) -> Matches:
        """The ``k`` pictures nearest to ``source`` (bytes, a path or a PIL image), closest first.

        ``offset`` skips the nearest ones; ``filter`` asks for a label or metadata values, all
        equal; ``crop`` looks at a part of the picture only. Exact; equal distances by key. The list
        also says whether anything is alike: ``known``. Raises ImageError, and GalleryError for
        k < 1.
        """
        if crop is not None:
            source = crop_image(load_image(source), crop)
        return self.search_vectors(self.embedder.embed([source]), k, offset=offset, filter=filter)[
            0
        ]

    @steady
    def search_many(
        self, sources: Sequence[Source], k: int = 10, *, filter: Mapping[str, Any] | None = None
    ) -> list[Matches]:
        """`search` for several pictures at once."""
        return self.search_vectors(self.embedder.embed(sources), k, filter=filter)

    @steady
    def search_key(
        self,
        key: str,
        k: int = 10,
        *,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
    ) -> Matches:
        """The pictures nearest to one of the gallery, itself included. Raises KeyNotFound."""
        return self.search_vectors(self._engine.vectors([key]), k, offset=offset, filter=filter)[0]

    @steady
    def search_examples(
        self,
        examples: Sequence[Example],
        k: int = 10,
        *,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
    ) -> Matches:
        """The pictures nearest to what several have in common: like these, not like that.

        The query is the examples' weighted sum, by Rocchio's formula
        (`vizinho.gallery.examples`); the rest is as in `search`. A single example is searched with
        as it is. With several, ``probability`` and ``known`` are None: a calibration is for the
        distances of one picture. The examples are not left out of the answer.

        Raises SettingsError where no weight is above 0 or the examples cancel each other out,
        KeyNotFound, ImageError, and GalleryError for k < 1.
        """
        query = self.query_vector(examples)[None]
        if len(examples) == 1:
            return self.search_vectors(query, k, offset=offset, filter=filter)[0]
        return answers.unjudged(self._engine, query, k, offset=offset, filter=filter)[0]

    @steady
    def query_vector(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """The embedding float32 [D] that `search_examples` searches with; raises as it does."""
        require_wanted(examples)
        vectors = self._vectors_of(examples)
        if len(examples) == 1:
            only: NDArray[np.float32] = vectors[0]
            return only
        weights = [example.weight for example in examples]
        return combined(vectors, weights, normalised=self.embedder.info.normalised)

    def search_vectors(
        self,
        vectors: NDArray[np.float32],
        k: int = 10,
        *,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Matches]:
        """`search` for embeddings [Q, D] made by the gallery's own model."""
        return answers.search(
            self._engine, self._judge, self._model, vectors, k, offset=offset, filter=filter
        )

    def _vectors_of(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """The embeddings float32 [N, D] of examples, in their order."""
        model = self.embedder
        pixels: dict[int, NDArray[np.uint8]] = {}
        for place, example in enumerate(examples):
            source = example.picture
            if example.key is not None and example.crop is not None:
                source = self.image_bytes(example.key)[0]
            if source is not None:
                # Made small at once: eight large pictures would take a gigabyte.
                number = place + 1 if len(examples) > 1 else None
                pixels[place] = model.pixels(_loaded(source, example.crop, number, model))
        kept = np.array([place not in pixels for place in range(len(examples))])
        vectors = np.empty((len(examples), model.dimension), np.float32)
        if kept.any():
            keys = [str(each.key) for each, is_kept in zip(examples, kept, strict=True) if is_kept]
            vectors[kept] = self._engine.vectors(keys)
        if pixels:
            vectors[~kept] = model.embed_pixels(np.stack(list(pixels.values())))
        return vectors


def _loaded(source: Source, crop: Crop | None, number: int | None, model: Embedder) -> Source:
    """A picture decoded as far as it has to be; an error names the example, of several."""
    name = f"Example {number}" if number and isinstance(source, bytes) else None
    if crop is not None:
        return crop_image(load_image(source, name=name), crop)
    return load_image(source, target=model.spec.size, name=name)
