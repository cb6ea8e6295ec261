"""``vizinho serve``: the web page and the HTTP API of a gallery."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.console import GalleryOption, edge, err

if TYPE_CHECKING:
    from vizinho.serve.options import ServeOptions


@edge
def command(
    gallery: GalleryOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: VIZINHO_HOST, or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", min=0, max=65535, help="Default: VIZINHO_PORT, or 8000."),
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let clients add and remove pictures.")
    ] = False,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Let pages of this origin call the API; repeatable."),
    ] = None,
    fetch_from: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Allow image_url from this host; * is any public one."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address clients see, behind a proxy.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Write a line for each request.")] = False,
    get: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Answer one GET, as /health, and end: no server."),
    ] = None,
) -> None:
    """Serve a gallery: a page to search by dropping a picture, and the HTTP API."""
    from vizinho.serve.options import ServeOptions
    from vizinho.settings import find_gallery, load

    settings = load()
    path = find_gallery(gallery)
    options = ServeOptions(
        writable=writable,
        cors_origins=tuple(cors or ()),
        image_url_hosts=tuple(fetch_from or ()),
        public_url=public_url,
    )
    if get is not None:
        answer_one(path, options, get)
        return
    if log:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from vizinho.serve.run import run

    console = err()
    run(
        path,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        options=options,
        access_log=log,
        on_ready=lambda url: console.print(
            f"{path} is at {url} (Ctrl-C stops it)", markup=False, highlight=False
        ),
    )


def answer_one(gallery: Path, options: ServeOptions, path: str) -> None:
    """Writes the body of one GET to stdout; a status of 400 or more is exit code 1."""
    from vizinho.cli.one_request import get
    from vizinho.serve.app import create_app

    status, body = get(create_app(gallery, options), path)
    sys.stdout.buffer.write(body)
    if status >= 400:
        raise typer.Exit(1)
