"""Vizinho: a reverse image search that you can train.

::

    from vizinho import Gallery

    with Gallery.open("photos.vizinho") as gallery:
        for match in gallery.search("cat.jpg", k=10):
            ...

The names below load on first use, so that ``import vizinho`` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vizinho import errors
    from vizinho.embedder import Embedder
    from vizinho.errors import VizinhoError
    from vizinho.gallery import AddReport, Gallery, Match, NewImage
    from vizinho.images import Crop

__version__ = "0.1.0"

__all__ = [
    "AddReport",
    "Crop",
    "Embedder",
    "Gallery",
    "Match",
    "NewImage",
    "VizinhoError",
    "__version__",
    "errors",
]

_HOMES = {
    "AddReport": "vizinho.gallery",
    "Crop": "vizinho.images",
    "Embedder": "vizinho.embedder",
    "Gallery": "vizinho.gallery",
    "Match": "vizinho.gallery",
    "NewImage": "vizinho.gallery",
    "VizinhoError": "vizinho.errors",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("vizinho.errors")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vizinho' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
