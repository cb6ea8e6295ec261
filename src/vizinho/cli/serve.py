"""``vizinho serve``: the web page and the HTTP API of a gallery."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.console import GalleryOption, edge
from vizinho.errors import SettingsError


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
    get: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Answer one GET, as /health, and end: no server."),
    ] = None,
) -> None:
    """Serve a gallery: a page to search by dropping a picture, and the HTTP API."""
    from vizinho.settings import find_gallery, load

    settings = load()
    path = find_gallery(gallery)
    if get is not None:
        answer_one(path, get)
        return
    host = settings.host if host is None else host
    port = settings.port if port is None else port
    check_port_free(host, port)
    from vizinho.serve.run import run

    run(path, host, port)


def answer_one(gallery: Path, path: str) -> None:
    """Writes the body of one GET to stdout; a status of 400 or more is exit code 1."""
    from vizinho.serve.app import create_app

    from vizinho.cli.one_request import get

    status, body = get(create_app(gallery), path)
    sys.stdout.buffer.write(body)
    if status >= 400:
        raise typer.Exit(1)


def check_port_free(host: str, port: int) -> None:
    """Raises SettingsError when something listens on that port, or the address is not ours."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            # As the server does: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"Can't listen on {host}:{port}: {error.strerror or error}.",
                "Is something else running there? Choose another with --port.",
            ) from error
