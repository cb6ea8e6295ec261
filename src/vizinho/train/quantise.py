"""A network in int8, kept only where it finds the same neighbours.

Weights are quantised by channel and activations by ranges seen on real pictures (static, QDQ).
Weights have seven bits: processors without VNNI add pairs of products in 16 bits and cut them off,
and the same picture would embed differently on another machine.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.bundle import INT8_FILE, MODEL_FILE, read_bundle, update_metrics
from vizinho.datasets import LabelledImages
from vizinho.datasets.splits import stratified
from vizinho.embedder import INPUT, Embedder
from vizinho.engines.flat import FlatVectors
from vizinho.errors import BundleError, DatasetError
from vizinho.evaluate import precision_at_1
from vizinho.preprocess import normalise

LEAST_RECALL_AT_10 = 0.99
MOST_TOP_1_LOST = 0.001
_CALIBRATION = 256
_BATCH = 64
_QUERIES = 60


@dataclass(frozen=True)
class Quantised:
    """How int8 compares with fp32 on ``images`` pictures held out.

    ``recall_at_10``: share of the ten nearest in fp32 that are among the ten in int8.
    ``precision_at_1`` leave-one-out. Times: processor seconds of one picture alone, median.
    """

    images: int
    recall_at_10: float
    precision_at_1_int8: float
    precision_at_1_fp32: float
    query_seconds_int8: float
    query_seconds_fp32: float
    bytes_int8: int
    bytes_fp32: int
    sha256: str

    @property
    def passed(self) -> bool:
        """Whether int8 may stand for fp32."""
        lost = self.precision_at_1_fp32 - self.precision_at_1_int8
        return self.recall_at_10 >= LEAST_RECALL_AT_10 and lost <= MOST_TOP_1_LOST + 1e-9


def quantise(
    bundle: str | Path, pictures: LabelledImages, *, held_out: int = 2000, seed: int = 0
) -> Quantised:
    """Quantise a bundle's network and measure it; written into the bundle only where it passes.

    ``pictures`` are training pictures: about ``held_out`` of them, as training's own split takes
    them for that seed, are measured, and some of the others calibrate. Raises BundleError,
    DatasetError for fewer than 12 pictures held out.
    """
    folder = Path(bundle)
    info = read_bundle(folder)
    aside = stratified(pictures.labels, held_out, seed)
    others = np.flatnonzero(~aside)
    step = max(1, len(others) // _CALIBRATION)
    calibration, _ = pictures.subset(others[::step][:_CALIBRATION].tolist()).pixels(info.preprocess)
    judged = pictures.subset(np.flatnonzero(aside).tolist())
    pixels, kept = judged.pixels(info.preprocess)
    if len(pixels) < 12 or not len(calibration):
        raise DatasetError(f"{pictures.name} has too few pictures to judge int8 by: {len(pixels)}.")
    with TemporaryDirectory(prefix="vizinho-int8-") as scratch:
        made = _quantised(folder / MODEL_FILE, normalise(calibration, info.preprocess), scratch)
    data = made.SerializeToString()
    exact = Embedder.open(folder)
    rough = Embedder.from_bytes(info, data)
    true, near = exact.embed_pixels(pixels), rough.embed_pixels(pixels)
    labels = judged.labels[kept]
    found = Quantised(
        images=len(pixels),
        recall_at_10=_recall(true, near, 10),
        precision_at_1_int8=precision_at_1(near, labels),
        precision_at_1_fp32=precision_at_1(true, labels),
        query_seconds_int8=_seconds(lambda: rough.embed_pixels(pixels[:1])),
        query_seconds_fp32=_seconds(lambda: exact.embed_pixels(pixels[:1])),
        bytes_int8=len(data),
        bytes_fp32=(folder / MODEL_FILE).stat().st_size,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    if found.passed:
        _write(folder, data, found)
    return found


def _write(folder: Path, data: bytes, found: Quantised) -> None:
    beside = folder / f".{INT8_FILE}.{os.getpid()}"
    try:
        beside.write_bytes(data)
        # The description first: after a kill in between int8 is refused, never unchecked.
        update_metrics(folder, {"int8": asdict(found)})
        beside.replace(folder / INT8_FILE)
    except OSError as error:
        raise BundleError(f"{folder} can't be written: {error.strerror}.") from error
    finally:
        beside.unlink(missing_ok=True)


def _quantised(model: Path, calibration: NDArray[np.float32], scratch: str) -> Any:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._starts = iter(range(0, len(calibration), _BATCH))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            start = next(self._starts, None)
            return None if start is None else {INPUT: calibration[start : start + _BATCH]}

    ready, out = Path(scratch, "ready.onnx"), Path(scratch, INT8_FILE)
    quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(ready),
        str(out),
        Batches(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm", "MaxPool"],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )
    return onnx.load(str(out))


def _recall(true: NDArray[np.float32], near: NDArray[np.float32], k: int) -> float:
    """Mean share of the ``k`` nearest others of each picture that both embeddings agree on."""
    names = np.arange(len(true))

    def neighbours(vectors: NDArray[np.float32]) -> list[set[int]]:
        found = FlatVectors(names, vectors).nearest(vectors, k + 1)
        return [
            set(ids[ids != name][:k].tolist()) for name, (ids, _) in zip(names, found, strict=True)
        ]

    pairs = zip(neighbours(true), neighbours(near), strict=True)
    return float(np.mean([len(one & other) / k for one, other in pairs]))


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_QUERIES):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return float(np.median(times))
