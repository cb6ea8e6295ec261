"""Run the server until someone stops it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from vizinho.errors import SettingsError
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

# Long enough for a slow search to be answered, short enough for a container's stop signal.
GRACE_SECONDS = 10


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket to ``host`` and ``port``; port 0 takes any free one.

    Raises:
        SettingsError: the address can't be had, in words that say why.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise SettingsError(
            f"No network address is called {host!r}.",
            "127.0.0.1 is this machine alone, 0.0.0.0 every network it is on.",
        ) from error
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            reason, hint = "is taken by another program", "Stop it, or choose another --port."
        elif number == errno.EACCES:
            reason, hint = "is reserved for the system", "Choose a --port above 1023."
        else:
            reason, hint = f"can't be used ({error})", "Choose another --host or --port."
        raise SettingsError(f"Port {port} on {host} {reason}.", hint) from error


def address(bound: socket.socket) -> str:
    """The URL of a listening socket, as a person would open it."""
    host, port = bound.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def run(
    gallery: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    options: ServeOptions | None = None,
    access_log: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a gallery until Ctrl-C or SIGTERM; requests under way are answered first.

    Args:
        gallery: folder of the gallery.
        host, port: where to listen; port 0 takes any free one.
        options: limits and permissions; the defaults when left out.
        access_log: one line a request on the logger ``vizinho.access``.
        on_ready: called once with the server's URL, as soon as it answers.

    Raises:
        SettingsError: the address can't be had.
        GalleryError, BundleError: the gallery can't be opened; raised before anything listens.
    """
    bound = listen(host, port)
    with contextlib.closing(bound):
        app = create_app(gallery, options or ServeOptions())
        logging.getLogger("vizinho.access").disabled = not access_log
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )

        def ready() -> None:
            if on_ready is not None:
                on_ready(address(bound))

        # Ctrl-C is how a person stops it: uvicorn has closed down in order before it raises.
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            _Server(config, ready).run(sockets=[bound])
