"""What a server may do, in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vizinho.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Limits and permissions of one server. The defaults are safe on an open port.

    Attributes:
        model: bundle (name or folder) to open the gallery with; ``None`` takes the gallery's own.
        max_upload_bytes: largest picture accepted, in bytes, before decoding.
        workers: searches that run at the same time, each in a thread of its own.
        queue: searches that may wait for a worker; the next one is answered 503 at once.
        writable: whether ``POST``, ``PATCH`` and ``DELETE`` of ``/v1/images`` change the gallery.
        wait_seconds: how long a change waits for another process that is writing to the gallery;
            then it is answered 503.
        image_url_hosts: hosts from which ``image_url`` may be fetched; ``("*",)`` means any
            public host, ``()`` turns it off.
        cors_origins: origins that browsers may call this server from; ``()`` turns CORS off.
        public_url: address under which clients see this server, when a proxy hides it.

    Raises:
        SettingsError: a limit makes no sense.
    """

    model: str | Path | None = None
    max_upload_bytes: int = 20_000_000
    workers: int = 2
    queue: int = 32
    writable: bool = False
    wait_seconds: float = 5.0
    image_url_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    public_url: str | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("max_upload_bytes", 1),
            ("workers", 1),
            ("queue", 0),
            ("wait_seconds", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise SettingsError(
                    f"{name} is {value}; it can't be under {least}.", "Choose a larger number."
                )
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise SettingsError(
                f"public_url is {self.public_url!r}, which is no web address.",
                "It begins with http:// or https://.",
            )
