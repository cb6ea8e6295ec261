"""The connection to a Milvus: made when it is needed, made again, and its errors explained."""

from __future__ import annotations

import functools
import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from vizinho.engines.milvus_address import MilvusAddress
from vizinho.errors import GalleryError, GalleryNotFound, GalleryUnreachable

T = TypeVar("T")

READING_SECONDS = 15.0
"""How long a read waits for a server that went away: one that restarts needs about that."""
WRITING_SECONDS = 60.0
_FIRST_SECONDS = 5.0
"""How long for one that never answered yet: the address may be wrong."""
_AWAY_SECONDS = 1.0
"""How long while it is known to be away: enough to notice that it is back."""
_CONNECT_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_RELOAD_SECONDS = 8.0
"""How long a collection is left unloaded: a change of index takes about four seconds."""
_CLOCK_BITS = 18
"""Of a time of the server's; those above count milliseconds."""

# What servers of 2.3 and later say while they start, move data between nodes, or are in a hurry.
_PASSING = (
    "not loaded",
    "not fully loaded",
    "no available",
    "channel not available",
    "channel unsubscribed",
    "channel not found",
    "node not found",
    "node offline",
    "not healthy",
    "notready",
    "not ready",
    "service unavailable",
    "server id mismatch",
    "delegator",
    "is not served",
    "connection refused",
    "stats unavailable",
    "collection on recovering",
    "grpcclient is closing",
)
_AWAY = ("unavailable", "deadline", "fail connecting", "retry timeout", "retry run out", "connect")
_GONE = ("can't find collection", "collection not found", "collection not exist")
_REFUSED = ("unauthenticated", "auth check failure", "permission", "privilege")


class MilvusLink:
    """One connection, for all threads. Nothing is done before the first `call`.

    It keeps the server's time of the last write that this process made to the collection: reads
    ask for an answer of no earlier state. The client's library means to do that too ("session"),
    but forgets deletes, for which a server of 2.3 tells no time.
    """

    _written: ClassVar[dict[tuple[str, str, str], int]] = {}

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._place = (address.server, address.database, address.name)
        self._making = threading.Lock()
        self._client: Any = None
        self._closed = False
        self._patience: float | None = _FIRST_SECONDS
        self._unloaded: float | None = None

    def call(self, what: Callable[..., T], *, seconds: float | None = None) -> T:
        """``what(client, timeout)``, again and again while the server is away or starts.

        For ``seconds``, or as long as a read waits. Raises GalleryUnreachable then, and sooner
        where the call before ended so too; GalleryError for what the server refuses.
        """
        if self._closed:
            raise GalleryError(f"{self.address} is closed.")
        until = time.monotonic() + (self._patience or seconds or READING_SECONDS)
        waited = False
        while True:
            left = max(until - time.monotonic(), 0.1)
            try:
                answer = what(self._connected(left), left)
            except Exception as error:
                if not _of_client(error):
                    raise
                again, told = _explained(error, self.address)
                if not again:
                    raise told from error
                if time.monotonic() >= until:
                    slow = "deadline" in str(error).lower()
                    if slow and not waited and self._put_back():
                        until, waited = time.monotonic() + READING_SECONDS, True
                        continue
                    # One that is only slow deserves the same patience the next time.
                    self._patience = None if slow else _AWAY_SECONDS
                    raise told from error
                self._reload(error)
                time.sleep(_PAUSE_SECONDS)
            else:
                self._patience = self._unloaded = None
                return answer

    def write(self, what: Callable[..., T]) -> T:
        """`call` for what changes the collection."""

        def timed(client: Any, left: float) -> T:
            done = what(client, left)
            # There is no public way to the server's clock; 2.3 and later have this one.
            now = int(client._get_connection().alloc_timestamp(timeout=left))
            self._written[self._place] = max(now, self._written.get(self._place, 0))
            return done

        return self.call(timed, seconds=WRITING_SECONDS)

    def catch_up(self) -> None:
        """Have this process's reads see, from here on, all that anybody wrote before."""
        self.write(lambda client, left: None)

    def clock(self) -> float:
        """The server's time in seconds, the same for all its clients."""
        return self.call(
            lambda client, left: (
                (int(client._get_connection().alloc_timestamp(timeout=left)) >> _CLOCK_BITS) / 1000
            )
        )

    @property
    def level(self) -> dict[str, Any]:
        """The consistency to ask for, as arguments of a read."""
        if self.address.consistency != "session":
            return {"consistency_level": self.address.consistency.capitalize()}
        seen = self._written.get(self._place, 1)
        return {"consistency_level": "Customized", "guarantee_timestamp": seen}

    def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        with self._making:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _reload(self, error: Exception) -> None:
        """Have the collection loaded that stays unloaded: who was about to do it is dead."""
        if "not loaded" not in str(error).lower():
            return
        now = time.monotonic()
        self._unloaded = self._unloaded or now
        if now - self._unloaded > _RELOAD_SECONDS:
            self._unloaded = now
            with suppress(Exception):  # the call that failed is tried again, and tells
                self._load()

    def _put_back(self) -> bool:
        """Whether a call that was never answered has waited for a collection that is not loaded: a
        busy server may hold a search of one instead of refusing it. It is being loaded then."""
        try:
            client = self._connected(_CONNECT_SECONDS)
            state = load_state(client, self.address.name, _CONNECT_SECONDS)
            if state == "NotLoad":
                self._load()
        except Exception:  # the deadline is told, not what this look ran into
            return False
        return state in ("NotLoad", "Loading")

    def _load(self) -> None:
        self._client.load_collection(
            self.address.name,
            replica_number=self.address.replicas,
            timeout=_CONNECT_SECONDS,
            _async=True,
        )

    def _connected(self, seconds: float) -> Any:
        with self._making:
            if self._client is None:
                here = self.address
                scheme = "https" if here.secure else "http"
                host = f"[{here.host}]" if ":" in here.host else here.host
                self._client = _library().MilvusClient(
                    uri=f"{scheme}://{host}:{here.port}",
                    token=here.token,
                    db_name=here.database,
                    dedicated=True,
                    timeout=min(seconds, _CONNECT_SECONDS),
                )
            return self._client


def load_state(client: Any, name: str, seconds: float) -> str:
    """What a server has of a collection where it can be searched: NotLoad, Loading, Loaded."""
    state = client.get_load_state(name, timeout=seconds)["state"]
    return str(getattr(state, "name", state))


@functools.cache
def _library() -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise GalleryError(
            "A gallery in Milvus needs the library pymilvus.", "pip install 'vizinho[milvus]'"
        ) from error
    # It prints every try with its trace; what there is to say is said by our errors.
    for name in ("pymilvus", "pymilvus.milvus_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus


def _of_client(error: Exception) -> bool:
    """Whether ``error`` comes from the client's library or the network below it."""
    module = type(error).__module__.partition(".")[0]
    return module in ("pymilvus", "grpc") or isinstance(error, ConnectionError | TimeoutError)


def _explained(error: Exception, address: MilvusAddress) -> tuple[bool, GalleryError]:
    """Whether it may pass by itself, and the error to raise if it doesn't."""
    told = str(getattr(error, "message", "") or error)
    code = str(getattr(error, "code", ""))
    words = f"{code} {told}".lower()
    if any(word in words for word in _REFUSED):
        return False, GalleryError(
            f"Milvus at {address.server} does not let you in.",
            "Give user:password@ or ?token= in the address, or VIZINHO_MILVUS_TOKEN.",
        )
    if any(word in words for word in _GONE):
        return False, GalleryNotFound(
            f"{address} is not there any more: it was removed or given another model.",
            "Open the gallery again.",
        )
    if any(word in words for word in _PASSING):
        return True, GalleryUnreachable(
            f"Milvus at {address.server} is there, but not ready: {_short(told)}.",
            "It may be starting, or moving its data: try again in a moment.",
        )
    if "deadline" in words and "connect" not in words:
        return True, GalleryUnreachable(
            f"Milvus at {address.server} takes too long to answer.",
            "It may be starting, or have much to do: try again in a moment.",
        )
    if any(word in words for word in _AWAY):
        return True, GalleryUnreachable(
            f"Milvus at {address.server} does not answer.",
            "Start it, or check the address, the network and secure=true.",
        )
    return False, GalleryError(f"Milvus at {address.server} refuses: {_short(told)}.")


def _short(text: str) -> str:
    """What a server says, in a line, without the trace of where it says so."""
    line = re.sub(r"^stack trace:.*\.go:\d+ \S+: (attempt #\d+: )?", "", " ".join(text.split()))
    return line[:300].rstrip(".")
