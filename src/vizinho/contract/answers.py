"""What is answered, as dicts that JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vizinho import __version__
from vizinho.contract.features import Feature
from vizinho.contract.fields import SearchFields
from vizinho.engines import Row
from vizinho.gallery import Match, Matches
from vizinho.gallery.view import GalleryView

# No page, no frame, no script comes out of an answer of data.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

# A result is shown for minutes, and asking again costs one 304.
KEEP_SECONDS = 300

Address = Callable[[str, str], str]
"""Key and URL of a row to where its picture is to be had."""


def thesis_answer(matches: Sequence[Match], address: Address) -> dict[str, dict[str, float]]:
    """Whole addresses to distances, ascending."""
    return {"results": {address(match.key, match.url): match.distance for match in matches}}


def search_answer(
    matches: Matches, fields: SearchFields, model: str, seconds: float, address: Address
) -> dict[str, Any]:
    """The pictures found, nearest first; ``seconds`` is the time of the search alone."""
    results = [
        {
            **picture(match, address),
            "distance": match.distance,
            "probability": match.probability,
            "kind": match.kind,
        }
        for match in matches
    ]
    return {
        "results": results,
        "known": matches.known,
        "k": fields.k,
        "offset": fields.offset,
        "model": model,
        "took_ms": round(seconds * 1000, 2),
    }


def picture(row: Row | Match, address: Address) -> dict[str, Any]:
    """One picture's record."""
    return {
        "key": row.key,
        "url": address(row.key, row.url),
        "label": row.label,
        "metadata": row.metadata,
    }


def listing(
    gallery: GalleryView, offset: int, limit: int, label: str | None, address: Address
) -> dict[str, Any]:
    """One page of the gallery, of one label if given. Reads the gallery."""
    # One more than asked for tells whether there is a next page.
    rows = gallery.items(offset, limit + 1, label)
    return {
        "images": [picture(row, address) for row in rows[:limit]],
        "offset": offset,
        "limit": limit,
        "next": offset + limit if len(rows) > limit else None,
        "total": gallery.count if label is None else None,
    }


def labels_answer(gallery: GalleryView, limit: int) -> dict[str, Any]:
    """The labels with most pictures first, at most ``limit`` of them; equal ones by name, and those
    without a label last among equals. Reads the gallery."""
    counts = gallery.labels()
    order = sorted(counts.items(), key=lambda each: (-each[1], each[0] is None, each[0] or ""))
    return {
        "labels": [{"label": label, "count": count} for label, count in order[:limit]],
        "total": len(counts),
    }


def model_answer(
    gallery: GalleryView, *, max_upload_bytes: int, features: Sequence[Feature]
) -> dict[str, Any]:
    """The model, what it measured, and what may be asked here. Reads the gallery."""
    info = gallery.info
    return {
        "name": info["model"],
        "fingerprint": info["fingerprint"],
        "dimension": info["dimension"],
        "metrics": info["metrics"] or {},
        "gallery": info["name"],
        "images": info["count"],
        "max_upload_bytes": max_upload_bytes,
        "writable": "write" in features,
        "image_url": "image_url" in features,
        "features": list(features),
        "version": __version__,
    }


def health_answer(searches: int, limit: int) -> dict[str, Any]:
    """Alive, with so many searches running or waiting, of at most ``limit``."""
    return {"status": "ok", "searches": searches, "searches_limit": limit}
