"""A gallery: pictures, their embeddings, and the model that made them, in one folder on disk."""

from __future__ import annotations

from vizinho.engines import Row
from vizinho.gallery.core import Gallery
from vizinho.gallery.examples import Example
from vizinho.gallery.records import AddReport, Match, Matches, NewImage
from vizinho.gallery.view import GalleryView

__all__ = ["AddReport", "Example", "Gallery", "GalleryView", "Match", "Matches", "NewImage", "Row"]
