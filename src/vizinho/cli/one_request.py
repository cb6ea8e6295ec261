"""One request to an ASGI application without a server (https://asgi.readthedocs.io)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def get(application: Application, path: str) -> tuple[int, bytes]:
    """Status and body of one GET, start-up and shutdown of the application included.

    Raises RuntimeError when the application says that it can't start.
    """
    return asyncio.run(_get(application, path))


async def _get(application: Application, path: str) -> tuple[int, bytes]:
    state: dict[str, Any] = {}
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    base = {"asgi": {"version": "3.0", "spec_version": "2.3"}, "state": state}
    life = asyncio.create_task(
        _awaited(application({"type": "lifespan", **base}, to_app.get, from_app.put))
    )
    await to_app.put({"type": "lifespan.startup"})
    started = await from_app.get()
    if started["type"] != "lifespan.startup.complete":
        raise RuntimeError(started.get("message") or "The application did not start.")
    try:
        return await _request(application, path, {**base, "state": dict(state)})
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        await life


async def _awaited(result: Awaitable[None]) -> None:
    await result


async def _request(application: Application, path: str, base: Message) -> tuple[int, bytes]:
    parts = urlsplit(path if path.startswith("/") else f"/{path}")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 0),
        "server": ("localhost", 80),
        **base,
    }
    status, body = 500, bytearray()
    ended = asyncio.Event()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                ended.set()

    await application(scope, receive, send)
    return status, bytes(body)
