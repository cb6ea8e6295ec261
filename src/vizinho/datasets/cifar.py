"""CIFAR-10 and CIFAR-100 in the three forms they travel in.

Hugging Face parquet, the Toronto pickles and the Toronto binary files. A. Krizhevsky, "Learning
Multiple Layers of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vizinho.datasets.base import LabelledImages, Labels, PixelStore, no_split
from vizinho.datasets.folder import find_parquet
from vizinho.datasets.parquet import load_parquet
from vizinho.errors import DatasetError

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)  # fmt: skip

_SPLITS = ("train", "test")
_PIXELS = 3 * 32 * 32

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Known:
    """One of the CIFAR sets: what its folders, files and fields are called."""

    pickles: str
    pickle_files: dict[str, tuple[str, ...]]
    pickle_meta: str
    label_key: bytes
    names_key: bytes
    binary: str
    binary_files: dict[str, tuple[str, ...]]
    binary_meta: str
    label_bytes: int
    classes: int


KNOWN = {
    "cifar10": _Known(
        pickles="cifar-10-batches-py",
        pickle_files={
            "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
            "test": ("test_batch",),
        },
        pickle_meta="batches.meta",
        label_key=b"labels",
        names_key=b"label_names",
        binary="cifar-10-batches-bin",
        binary_files={
            "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        binary_meta="batches.meta.txt",
        label_bytes=1,
        classes=10,
    ),
    "cifar100": _Known(
        pickles="cifar-100-python",
        pickle_files={"train": ("train",), "test": ("test",)},
        pickle_meta="meta",
        label_key=b"fine_labels",
        names_key=b"fine_label_names",
        binary="cifar-100-binary",
        binary_files={"train": ("train.bin",), "test": ("test.bin",)},
        binary_meta="fine_label_names.txt",
        label_bytes=2,
        classes=100,
    ),
}


def load_cifar(which: str, split: str | None, data_dir: Path) -> LabelledImages:
    """CIFAR-10 or CIFAR-100 (fine labels) from ``data_dir`` or its subfolder ``which``.

    ``which``: "cifar10" or "cifar100"; ``split``: "train" or "test". Names are "test/00042.png",
    the row counted from 0. Parquet is preferred to pickles, and these to the binary files.

    Raises `DatasetError`, which lists where it looked.
    """
    if split not in _SPLITS:
        if split:
            raise no_split(which, split, _SPLITS)
        raise DatasetError(
            f"{which} has two splits: {' and '.join(_SPLITS)}.", f"Say which one: {which}:test."
        )
    known = KNOWN[which]
    name = f"{which}:{split}"
    root = data_dir / which
    if parquet := find_parquet(root, split):
        data = load_parquet(parquet, name, prefix=split, use_paths=False)
        data.names = [f"{item}.png" for item in data.names]
        return data
    looked = [f"{root}/{split}-*.parquet"]
    readers: tuple[tuple[str, dict[str, tuple[str, ...]], Callable[..., Any]], ...] = (
        (known.pickles, known.pickle_files, _read_pickles),
        (known.binary, known.binary_files, _read_binary),
    )
    for folder_name, files, reader in readers:
        for folder in (data_dir / folder_name, root / folder_name):
            looked.append(f"{folder}/{files[split][0]}")
            if (folder / files[split][0]).is_file():
                pixels, labels, classes = reader(folder, files[split], known)
                names = [f"{split}/{i:05d}.png" for i in range(len(labels))]
                return LabelledImages(name, PixelStore(pixels), names, labels, classes)
    fetch = "Download it with: vizinho fetch cifar10"
    hint = fetch if which == "cifar10" else "Put one of them there."
    raise DatasetError(f"No {which} {split} pictures. Looked for {', '.join(looked)}.", hint)


def _read_pickles(
    folder: Path, files: Sequence[str], known: _Known
) -> tuple[Pixels, Labels, list[str]]:
    pixels: list[Pixels] = []
    labels: list[int] = []
    for file in files:
        batch = _unpickle(folder / file)
        data, values = batch.get(b"data"), batch.get(known.label_key)
        if (
            not isinstance(data, np.ndarray)
            or data.dtype != np.uint8
            or data.ndim != 2
            or data.shape[1] != _PIXELS
            or not isinstance(values, list)
            or len(values) != len(data)
            or not all(isinstance(value, int) for value in values)
        ):
            raise _damaged(folder / file, "it does not hold uint8 pictures [N, 3072] with N labels")
        pixels.append(_to_hwc(data))
        labels += values
    meta = folder / known.pickle_meta
    names = None
    if meta.is_file():
        raw = _unpickle(meta).get(known.names_key)
        names = [_text(item) for item in raw] if isinstance(raw, list) else None
    return np.concatenate(pixels), *_checked(labels, names, folder, known)


def _read_binary(
    folder: Path, files: Sequence[str], known: _Known
) -> tuple[Pixels, Labels, list[str]]:
    record = known.label_bytes + _PIXELS
    rows: list[Pixels] = []
    for file in files:
        try:
            raw = np.fromfile(folder / file, dtype=np.uint8)
        except OSError as error:
            raise _damaged(folder / file, error.strerror or str(error)) from error
        if not len(raw) or len(raw) % record:
            raise _damaged(folder / file, f"{len(raw)} bytes are no whole records of {record}")
        rows.append(raw.reshape(-1, record))
    table = np.concatenate(rows)
    meta = folder / known.binary_meta
    names = meta.read_text("utf-8").split() if meta.is_file() else None
    # CIFAR-100 puts the coarse label first; the last one is the fine label.
    labels = table[:, known.label_bytes - 1].tolist()
    return _to_hwc(table[:, known.label_bytes :]), *_checked(labels, names, folder, known)


def _checked(
    labels: Sequence[int], names: Sequence[str] | None, folder: Path, known: _Known
) -> tuple[Labels, list[str]]:
    values = np.array(labels, dtype=np.int64)
    if len(values) and (values.min() < 0 or values.max() >= known.classes):
        raise _damaged(folder, f"its labels leave 0..{known.classes - 1}")
    if names is not None and len(names) == known.classes:
        return values, list(names)
    if known.classes == len(CIFAR10_CLASSES):
        return values, list(CIFAR10_CLASSES)
    return values, [str(i) for i in range(known.classes)]


def _to_hwc(rows: Pixels) -> Pixels:
    """Rows of three colour planes, uint8 ``[N, 3072]``, to ``[N, 32, 32, 3]``."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


class _ArraysOnly(pickle.Unpickler):
    """Admits what a pickled NumPy array needs and nothing else: a pickle can run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if name == "_reconstruct" and module in (
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        ):
            return importlib.import_module("numpy._core.multiarray")._reconstruct
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into a pickle of protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin-1")


def _unpickle(path: Path) -> dict[bytes, Any]:
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise _damaged(path, str(error) or type(error).__name__) from error
    if not isinstance(batch, dict):
        raise _damaged(path, "it is not a table of arrays")
    return {key.encode() if isinstance(key, str) else key: batch[key] for key in batch}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _damaged(path: Path, why: str) -> DatasetError:
    return DatasetError(f"{path} can't be read as CIFAR: {why}.", "Delete it and fetch it again.")
