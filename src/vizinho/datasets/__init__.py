"""Labelled pictures from where they lie: CIFAR, folders, parquet, CSV; no torch."""

from __future__ import annotations

from vizinho.datasets.base import LabelledImages, Skipped
from vizinho.datasets.load import load_dataset

__all__ = ["LabelledImages", "Skipped", "load_dataset"]
