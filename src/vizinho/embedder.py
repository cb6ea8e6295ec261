"""A model bundle run by ONNX Runtime: pictures in, embeddings float32 [N, D] out.

Index and query go through this one class, in one precision on the CPU: vectors of another runtime
or precision would differ, and a picture would no longer find itself at 0.00.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vizinho.bundle import BundleInfo, read_model, resolve_bundle
from vizinho.errors import BundleError
from vizinho.images import Source, load_image
from vizinho.preprocess import PreprocessSpec, normalise, to_pixels

if TYPE_CHECKING:
    from vizinho.progress import Progress

BATCH = 256
INPUT = "images"
OUTPUT = "embeddings"


class Embedder:
    """A loaded model. Safe to call from several threads at once; each call runs on its own."""

    def __init__(self, info: BundleInfo, session: Any) -> None:
        self.info = info
        self._session = session

    @classmethod
    def open(
        cls,
        path_or_name: str | Path | None = None,
        *,
        threads: int = 1,
        precision: str = "fp32",
    ) -> Embedder:
        """Load a bundle: a folder, the name of a shipped model, or None for the default.

        ``threads`` is the number of threads inside one run; 1 is the fastest for single queries
        and leaves the other cores to other runs. ``precision`` "int8" takes the quantised network
        of a bundle that has one. Raises BundleError.
        """
        folder = resolve_bundle(path_or_name)
        info, data = read_model(folder, precision)
        return cls(info, open_session(data, threads, folder))

    @classmethod
    def from_bytes(cls, info: BundleInfo, data: bytes, *, threads: int = 1) -> Embedder:
        """Load a network that is in no bundle yet, as what ``info`` says. Raises BundleError."""
        return cls(info, open_session(data, threads, Path(info.name)))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self.info.dimension

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of network and preprocessing."""
        return self.info.fingerprint

    @property
    def spec(self) -> PreprocessSpec:
        """How a picture becomes the network's input."""
        return self.info.preprocess

    def pixels(self, source: Source) -> NDArray[np.uint8]:
        """One picture as the network will see it, uint8 [H, W, 3]. Raises ImageError."""
        return to_pixels(load_image(source, target=self.spec.size), self.spec)

    def embed(self, images: Sequence[Source]) -> NDArray[np.float32]:
        """Embeddings float32 [N, D] of pictures (bytes, paths or PIL images).

        Raises ImageError for the first picture that can't be used, BundleError for a model that
        answers with numbers that are not finite.
        """
        out = np.empty((len(images), self.dimension), np.float32)
        for start in range(0, len(images), BATCH):
            part = [self.pixels(image) for image in images[start : start + BATCH]]
            out[start : start + len(part)] = self._run(np.stack(part))
        return out

    def embed_pixels(
        self, pixels: NDArray[np.uint8], batch: int = BATCH, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embeddings float32 [N, D] of pictures already at the network's size, uint8 [N, H, W, 3].

        ``progress`` hears (pictures done, N) after each batch. Raises BundleError.
        """
        count = len(pixels)
        out = np.empty((count, self.dimension), np.float32)
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            out[start:stop] = self._run(pixels[start:stop])
            if progress is not None:
                progress(stop, count)
        return out

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._session.run(
            [OUTPUT], {INPUT: normalise(pixels, self.spec)}
        )[0]
        if vectors.shape != (len(pixels), self.dimension):
            raise BundleError(
                f"Model {self.name!r} answered with shape {list(vectors.shape)} where "
                f"[{len(pixels)}, {self.dimension}] was promised.",
                "The bundle is damaged or was written for another network.",
            )
        if not np.isfinite(vectors).all():
            raise BundleError(
                f"Model {self.name!r} answered with numbers that are not finite.",
                "Its training has diverged; use another model.",
            )
        return vectors


def open_session(data: bytes, threads: int, folder: Path) -> Any:
    """An ONNX Runtime session on the CPU for the network of the bundle ``folder``, its input and
    output checked. Raises BundleError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A thread that spins between runs takes the core from decoding and from other queries.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exception classes share no base but this
        raise BundleError(
            f"ONNX Runtime can't load the model in {folder}: {error}",
            "Write or download the bundle again.",
        ) from error
    for kind, nodes, name in (
        ("input", session.get_inputs(), INPUT),
        ("output", session.get_outputs(), OUTPUT),
    ):
        node = next((node for node in nodes if node.name == name), None)
        if node is None or node.type != "tensor(float)":
            found = ", ".join(f"{node.name}: {node.type}" for node in nodes)
            raise BundleError(
                f"The model in {folder} has no float32 {kind} named {name!r} (it has {found}).",
                "Export it with `vizinho train`, or name its tensors so.",
            )
    return session
