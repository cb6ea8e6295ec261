"""The index over a collection's vectors: made, changed, and watched, for others change it too."""

from __future__ import annotations

import time
from typing import Any

from vizinho.engines import milvus_schema as schema
from vizinho.engines.milvus_link import MilvusLink, load_state

_LOADING_SECONDS = 600.0
_LOOK_SECONDS = 1.0
_MAKING_SECONDS = 2.0


class WatchedIndex:
    """What index a collection has. Every writer, on any machine, may change it at any time."""

    def __init__(self, link: MilvusLink, kind: str) -> None:
        self._link = link
        self._name = link.address.name
        self._kind = kind
        self._looked = time.monotonic()

    def kind(self, *, now: bool = False) -> str:
        """The index as it was a second ago, or is ``now``; a change takes longer."""
        if now or time.monotonic() - self._looked > _LOOK_SECONDS:
            asked = time.monotonic()
            found = self._link.call(lambda client, left: index_of(client, self._name, left))
            # While it is changed there is none for a moment, when nobody can search.
            self._kind, self._looked = found or self._kind, asked
        return self._kind

    def change(self, kind: str) -> None:
        """Have another one. The server builds it while the collection can be searched again."""
        name = self._name

        def change(client: Any, left: float) -> None:
            # Each step may have been done by a try that was cut short, or by another writer.
            if index_of(client, name, left) == kind:
                return
            client.release_collection(name, timeout=left)
            if "vector" in client.list_indexes(name, timeout=left):
                client.drop_index(name, "vector", timeout=left)
            make_index(client, name, kind, left)

        self._link.write(change)
        self._kind = kind
        load(self._link)


def taken_up(link: MilvusLink) -> WatchedIndex:
    """The index of a collection that is there, loaded; made where a writer was cut short before."""
    name = link.address.name
    made = schema.index_for(0) if link.address.index == "auto" else link.address.index
    until = time.monotonic() + _MAKING_SECONDS
    while (kind := link.call(lambda client, left: index_of(client, name, left))) is None:
        if time.monotonic() > until:
            link.write(lambda client, left: make_index(client, name, made, left))
        time.sleep(0.2)
    load(link)
    return WatchedIndex(link, kind)


def load(link: MilvusLink) -> None:
    """Have the collection where it can be searched, if it isn't."""
    name, replicas = link.address.name, link.address.replicas

    def load(client: Any, left: float) -> None:
        if load_state(client, name, left) != "Loaded":
            client.load_collection(name, replica_number=replicas, timeout=left)

    link.call(load, seconds=_LOADING_SECONDS)


def make_index(client: Any, name: str, kind: str, seconds: float) -> None:
    """Order the index ``kind``; returns before it is built, which may take hours."""
    wanted = client.prepare_index_params()
    wanted.add_index("vector", **schema.index_options(kind))
    client.create_index(name, wanted, timeout=seconds, sync=False)


def index_of(client: Any, name: str, seconds: float) -> str | None:
    """The kind of index that is there; None where there is none."""
    if "vector" not in client.list_indexes(name, timeout=seconds):
        return None
    return str(client.describe_index(name, "vector", timeout=seconds)["index_type"]).lower()
