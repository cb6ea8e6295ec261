"""Fetch a query picture from the web, without lending the server to an attacker.

A server that fetches any address for anybody can be made to read what only it can reach: cloud
metadata, an intranet, itself. So: off by default; only hosts that were allowed; under ``*`` only
public addresses; the address that was checked is the one connected to (no second look-up);
redirects are not followed; time and size are bounded.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from vizinho.contract.errors import ApiError, bad_field, image_url_off, too_large

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
_CHUNK = 65_536


def fetch_image(url: str, *, hosts: tuple[str, ...], limit: int) -> bytes:
    """The bytes at ``url``, at most ``limit`` of them. Blocks: call it from a worker.

    Raises:
        ApiError: 403 when fetching or this host is not allowed, 422 when it is no web address or
            the fetch fails, 413 when it is too large.
    """
    if not hosts:
        raise image_url_off()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise bad_field("image_url", "this is not a web address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise bad_field("image_url", "this is not an http:// or https:// address")
    if parts.hostname not in hosts and "*" not in hosts:
        raise ApiError(
            403,
            "host_not_allowed",
            f"This server does not fetch pictures from {parts.hostname}.",
            "Send the picture itself, as image or image_base64.",
        )
    port = port or (443 if parts.scheme == "https" else 80)
    address = _resolve(parts.hostname, port, public_only=parts.hostname not in hosts)
    try:
        return _read(parts, port, address, limit)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise bad_field("image_url", f"the picture could not be fetched ({error})") from error


def _resolve(host: str, port: int, *, public_only: bool) -> str:
    """One address of ``host``; 403 when it is not public and must be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise bad_field("image_url", f"no host is called {host}") from error
    addresses = [str(entry[4][0]) for entry in found]
    if public_only and not all(ipaddress.ip_address(each).is_global for each in addresses):
        raise ApiError(
            403, "host_not_allowed", f"{host} is not on the public network, so it is not fetched."
        )
    return addresses[0]


def _read(parts: SplitResult, port: int, address: str, limit: int) -> bytes:
    deadline = time.monotonic() + TOTAL_SECONDS
    host = str(parts.hostname)
    sock = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        connection.sock = sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "vizinho", "Accept": "image/*"})
        response = connection.getresponse()
        if response.status != 200:
            raise bad_field("image_url", f"{host} answered {response.status} instead of a picture")
        data = bytearray()
        while chunk := response.read1(_CHUNK):
            data += chunk
            if len(data) > limit:
                raise too_large(limit)
            if time.monotonic() > deadline:
                raise bad_field("image_url", f"{host} took longer than {TOTAL_SECONDS:.0f} s")
        return bytes(data)
    finally:
        sock.close()
