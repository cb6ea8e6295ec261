"""The end of verbs that fill a gallery: the search index, where what came makes it due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.console import err, progress

if TYPE_CHECKING:
    from vizinho.gallery import Gallery

LatencyOption = Annotated[
    float | None,
    typer.Option(
        "--latency-ms",
        min=0.001,
        help="Search exactly while that takes no longer, beyond by an index. The gallery remembers "
        "it. Default: 5.",
        show_default=False,
    ),
]
RecallOption = Annotated[
    float | None,
    typer.Option(
        "--recall",
        min=0.5,
        max=1.0,
        help="Share of the ten nearest that an index must find. The gallery remembers it. "
        "Default: 0.99.",
        show_default=False,
    ),
]


def optimise(
    gallery: Gallery,
    *,
    latency_ms: float | None = None,
    recall: float | None = None,
    quiet: bool = False,
) -> None:
    """Make the search index if it is due, with progress. Raises GalleryError."""
    from vizinho.errors import GalleryBusy

    try:
        with progress("Search index", quiet=quiet) as report:
            gallery.optimise(latency_ms=latency_ms, recall=recall, progress=report)
    except GalleryBusy as error:
        # Whoever is at it sees to it; what was asked for is in the gallery.
        if latency_ms is not None or recall is not None:
            raise
        if not quiet:
            err().print(str(error), markup=False, highlight=False)
