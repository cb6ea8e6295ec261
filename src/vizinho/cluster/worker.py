"""What each machine of a cluster does: keys in, hashes and vectors out."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from vizinho import __version__
from vizinho.bundle import BundleInfo
from vizinho.embedder import Embedder
from vizinho.errors import ClusterError, VizinhoError
from vizinho.gallery.pipeline import Job, Pipeline
from vizinho.sources import FolderTree, Tree

# What a vector depends on, beside the model and the picture.
_DECIDES = ("onnxruntime", "numpy", "pillow")
_THREADS = 4
"""Chunks under way in one task: while one waits for a bucket, another is decoded."""


@dataclass(frozen=True)
class Work:
    """What is to be done with keys: where they are, and with which network (by reference)."""

    tree: Tree
    info: BundleInfo
    network: Any
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """The libraries that decide what a vector is, with Vizinho itself."""
    found = {"vizinho": __version__}
    for name in _DECIDES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def embed_keys(table: Any, work: Work) -> Any:
    """A table of keys to one of what became of them: key, hash, vector (float32), or the reason.

    A failure that is not one picture's own (bucket out of reach, another version here) is a row
    with ``failure`` and ``hint`` and ends the run; Ray itself would wrap it beyond recognition.
    """
    import pyarrow as pa
    import ray

    node = ray.get_runtime_context().get_node_id()
    keys = table.column("key").to_pylist()
    rows: list[dict[str, Any]] = []
    try:
        for outcomes in _pipeline(work).run(Job(key, key, _reader(work, key)) for key in keys):
            for outcome in outcomes:
                vector = outcome.vector
                rows.append(
                    {
                        "key": outcome.job.item,
                        "hash": outcome.hash,
                        "reason": outcome.reason,
                        "vector": None if vector is None else vector.astype("<f4").tobytes(),
                    }
                )
    except VizinhoError as error:
        rows = [{"failure": error.message, "hint": error.hint}]
    return pa.Table.from_pylist([{**row, "node": node} for row in rows], _schema())


def to_vector(data: bytes | None) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """A vector as `embed_keys` wrote it."""
    return None if data is None else np.frombuffer(data, "<f4").astype(np.float32)


def _pipeline(work: Work) -> Pipeline[str]:
    import ray

    here = versions()
    if here != work.versions:
        differing = [name for name in here if here[name] != work.versions[name]]
        told = ", ".join(f"{n} {here[n]} instead of {work.versions[n]}" for n in differing)
        raise ClusterError(
            f"A machine of the cluster has {told}.",
            "Install the same versions on all: their vectors could not be compared.",
        )
    if isinstance(work.tree, FolderTree) and not Path(work.tree.root).is_dir():
        raise ClusterError(
            f"A machine of the cluster does not see {work.tree.root}.",
            "Mount the folder there under the same path, or index a bucket.",
        )
    embedder = _loaded(work.info.fingerprint)
    if embedder is None:
        embedder = Embedder.from_bytes(work.info, ray.get(work.network))
        _EMBEDDERS.clear()
        _EMBEDDERS[work.info.fingerprint] = embedder
    return Pipeline(embedder, lambda _: (), lambda *_: None, {}, _THREADS)


_EMBEDDERS: dict[str, Embedder] = {}


def _loaded(fingerprint: str) -> Embedder | None:
    return _EMBEDDERS.get(fingerprint)


def _reader(work: Work, key: str) -> functools.partial[bytes]:
    return functools.partial(work.tree.read, key)


def _schema() -> Any:
    import pyarrow as pa

    texts = ("key", "hash", "reason", "failure", "hint", "node")
    return pa.schema([*((name, pa.string()) for name in texts), ("vector", pa.binary())])
