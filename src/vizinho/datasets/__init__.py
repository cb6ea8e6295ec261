"""Labelled pictures from where they lie: CIFAR, folders, parquet, CSV; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vizinho.datasets.base import LabelledImages, Skipped
from vizinho.datasets.load import load_dataset

if TYPE_CHECKING:
    from vizinho.datasets.download import fetch_cifar10

__all__ = ["LabelledImages", "Skipped", "fetch_cifar10", "load_dataset"]


def __getattr__(name: str) -> Any:
    # Whoever only reads a data set should not pay for the import of an HTTP client.
    if name == "fetch_cifar10":
        from vizinho.datasets.download import fetch_cifar10

        return fetch_cifar10
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
