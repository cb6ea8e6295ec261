"""What the routes share: the gallery, the queues, the counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from fastapi import Request

from vizinho.gallery import Gallery
from vizinho.serve.duplicates import Finder
from vizinho.serve.maps import Maps
from vizinho.serve.metrics import Metrics
from vizinho.serve.options import ServeOptions
from vizinho.serve.work import WorkQueue

_EXPORTS_WAITING = 4


@dataclass
class Service:
    """One open gallery and the machinery around it; lives as long as its app.

    ``searches`` is the bounded queue for work that costs; ``files`` serves picture bytes and
    listings, of which one page asks for many at once; ``writes`` changes the gallery, one request
    after the other, so that one which waits for another process holds up no search; ``exports``
    writes out what takes minutes.
    """

    gallery: Gallery
    model: str
    fingerprint: str
    options: ServeOptions
    searches: WorkQueue
    files: WorkQueue
    writes: WorkQueue
    metrics: Metrics
    place: Path
    """Folder or address that the gallery was opened by."""
    duplicates: Finder = field(init=False)
    maps: Maps = field(init=False)
    exports: WorkQueue = field(init=False)

    def __post_init__(self) -> None:
        self.duplicates = Finder(lambda: self.gallery)
        self.maps = Maps(lambda: self.gallery, self.place)
        self.exports = WorkQueue("export", workers=1, waiting=_EXPORTS_WAITING)

    def take(self, gallery: Gallery) -> None:
        """Answer from another gallery from here on; requests under way keep the one they have."""
        self.gallery, self.model = gallery, gallery.about.model
        self.fingerprint = gallery.about.fingerprint

    def close(self) -> None:
        """Let running work end, then close the gallery."""
        self.duplicates.close()
        self.maps.close()
        self.searches.close()
        self.files.close()
        self.writes.close()
        self.exports.close()
        self.gallery.close()


def service_of(request: Request) -> Service:
    """The service of the app that a request came to."""
    return cast(Service, request.app.state.service)


def base_url(request: Request) -> str:
    """This server's address as the client knows it, without a slash at the end."""
    public = service_of(request).options.public_url
    return (public or str(request.base_url)).rstrip("/")
