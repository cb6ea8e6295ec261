"""Put the server together. Nothing is built at import: call :func:`create_app`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from PIL import Image
from starlette.middleware.cors import CORSMiddleware

from vizinho import __version__
from vizinho.contract.pictures import body_limit
from vizinho.gallery import Gallery
from vizinho.gallery.lock import Patience
from vizinho.gallery.tending import Tender
from vizinho.serve import errors
from vizinho.serve.describe import DescribedApp
from vizinho.serve.follow import Follower
from vizinho.serve.metrics import Metrics
from vizinho.serve.middleware import Account, BodyLimit, SecurityHeaders
from vizinho.serve.options import ServeOptions
from vizinho.serve.routes import (
    changes,
    duplicates,
    explain,
    feedback,
    images,
    map,
    pages,
    search,
    system,
    thesis,
)
from vizinho.serve.service import Service
from vizinho.serve.work import WorkQueue

# One page asks for ten results and a strip of samples at once, and many people may have it open.
FILES_WORKERS, FILES_WAITING = 2, 1000

_log = logging.getLogger("uvicorn.error")

ABOUT = """\
Reverse image search over one gallery. Distances are Euclidean: smaller is closer, and a picture
of the gallery answers itself first with 0.00. Every error has one shape:
`{"error": {"code", "message", "hint"}}`.
"""


def create_app(gallery_path: Path, options: ServeOptions | None = None) -> FastAPI:
    """Open a gallery and build the app that serves it.

    The gallery is closed when the app's lifespan ends.

    Args:
        gallery_path: folder of the gallery.
        options: limits and permissions; the defaults when left out.

    Raises:
        GalleryError, BundleError: the gallery can't be opened.
    """
    options = options or ServeOptions()
    gallery = Gallery.open(gallery_path, model=options.model)
    searches = WorkQueue("search", workers=options.workers, waiting=options.queue)
    files = WorkQueue("files", workers=FILES_WORKERS, waiting=FILES_WAITING)
    writes = WorkQueue("write", workers=1, waiting=options.queue)
    gallery.patience = Patience(options.wait_seconds)
    # Loads the network and the index now, so that the first visitor doesn't wait for them.
    gallery.search(Image.new("RGB", (32, 32)), k=1)
    model = gallery.embedder
    service = Service(
        gallery,
        model.name,
        model.fingerprint,
        options,
        searches,
        files,
        writes,
        Metrics(searches),
        gallery_path,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if options.writable and gallery.changeable and not gallery.writable:
            _log.warning(
                "%s can't be written by this process: it is served read-only, as without "
                "--writable. See who owns the folder, and whether its disk is read-only.",
                gallery_path,
            )
        follower = Follower(service)
        follower.start()
        tender = Tender(lambda: service.gallery)
        tender.start()
        try:
            yield
        finally:
            tender.close()
            follower.close()
            service.close()

    app = DescribedApp(
        title="Vizinho",
        summary="A reverse image search that you can train.",
        description=ABOUT,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    errors.install(app)
    rooms = (thesis, search, explain, map, images, changes, feedback, duplicates, system, pages)
    for room in rooms:
        app.include_router(room.router)
    # The last added is the outermost: the account sees every answer, also a refused one.
    app.add_middleware(
        BodyLimit, limit=body_limit(options.max_upload_bytes), named=options.max_upload_bytes
    )
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["Content-Type"],
            max_age=3600,
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Account, metrics=service.metrics)
    return app
