"""Duplicates of a gallery: looked for in the background, kept until pictures come, read by parts.

Groups are in a file, and where each begins in an array: memory does not grow with what is in them.
Pictures that go, as they do while somebody goes through the list, are crossed out; only when
pictures come, or the one to keep goes, is everything looked for anew.
"""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from vizinho.contract.errors import RETRY_SECONDS, ApiError, placeless
from vizinho.engines import Row
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.gallery import Gallery
from vizinho.gallery.review import read, start

Kind = Literal["identical", "near", "similar"]
COPIES: tuple[Kind, ...] = ("identical", "near")

_BATCH = 200
_log = logging.getLogger("uvicorn.error")

Group = dict[str, Any]


@dataclass
class Building:
    """Not there yet: so far it has looked at ``done``, of ``of`` if that is known."""

    done: int = 0
    of: int | None = None


@dataclass
class Page:
    """Groups from ``offset`` on, each with its rows by key, of ``total``."""

    groups: list[tuple[Group, dict[str, Row]]]
    total: int
    next: int | None
    about: dict[str, Any]


@dataclass
class _Found:
    """Groups in a file; ``places`` are where those of a kind begin."""

    file: IO[bytes]
    stamp: tuple[int, int]
    fingerprint: str
    about: dict[str, Any] = field(default_factory=dict)
    places: dict[str, array[int]] = field(default_factory=dict)


@dataclass
class _Work:
    child: subprocess.Popen[bytes]
    place: Path
    similar: bool
    found: _Found
    state: Building = field(default_factory=Building)


class Finder:
    """Looks for duplicates of the gallery that ``which`` gives, one search at a time. Copies and
    similar pictures are looked for apart: the second takes longer. `close` ends what is running."""

    def __init__(self, which: Callable[[], Gallery]) -> None:
        self._which = which
        self._lock = threading.Lock()
        self._work: _Work | None = None
        self._kept: dict[bool, _Found] = {}
        self._failed: dict[bool, str] = {}
        self._closed = False

    @property
    def offered(self) -> bool:
        """Whether the gallery is one whose changes are seen."""
        return isinstance(self._which().engine, EmbeddedEngine)

    def page(self, kinds: Sequence[Kind], offset: int, limit: int) -> Page | Building:
        """Some groups of ``kinds``, or how far the search for them is. Reads the gallery.

        Raises ApiError (503) once when the search failed; asked again, it begins anew.
        """
        similar = "similar" in kinds
        gallery = self._which()
        with self._lock:
            if (reason := self._failed.pop(similar, None)) is not None:
                raise _failure(reason)
            found = self._kept.get(similar)
            if found is None or not _up_to_date(gallery, found):
                self._drop(similar)
                return self._building(gallery, similar)
            places = [place for kind in kinds for place in found.places.get(kind, ())]
            some = places[offset : offset + limit]
            groups = list(_present(gallery, _groups(found.file, some)))
            more = offset + limit < len(places)
            return Page(groups, len(places), offset + limit if more else None, found.about)

    def close(self) -> None:
        """End what is running, and let go of what was found."""
        with self._lock:
            work = self._work
            self._closed = True
            if work is not None:
                with suppress(ProcessLookupError):
                    work.child.kill()
            for similar in list(self._kept):
                self._drop(similar)
        if work is not None:
            work.child.wait()

    def _building(self, gallery: Gallery, similar: bool) -> Building:
        if self._work is None:
            engine = gallery.engine
            assert isinstance(engine, EmbeddedEngine)
            stamp = engine.stamp()
            try:
                file = tempfile.TemporaryFile()  # noqa: SIM115
            except OSError as error:
                raise _failure(f"{error.strerror or error}.") from error
            kinds = [*COPIES, "similar"] if similar else list(COPIES)
            child = start(gallery.path, kinds, file)
            found = _Found(file, stamp, gallery.about.fingerprint)
            self._work = _Work(child, gallery.path, similar, found)
            threading.Thread(
                target=self._follow, args=(self._work,), name="duplicates", daemon=True
            ).start()
        elif self._work.similar != similar:
            return Building()
        return self._work.state

    def _follow(self, work: _Work) -> None:
        """Hear what the child says, to its end."""
        pipe = work.child.stderr
        assert pipe is not None
        said = ""
        with pipe:
            for line in pipe:
                told = read(line)
                if "done" in told:
                    work.state = Building(told["done"], told["of"])
                elif "pictures" in told:
                    work.found.about = told
                else:
                    said = told.get("error") or line.decode(errors="replace").strip() or said
        code = work.child.wait()
        if code == 0:
            work.found.places = _places(work.found.file)
        with self._lock:
            self._work = None
            if self._closed:
                work.found.file.close()
                return
            if code == 0:
                self._drop(work.similar)
                self._kept[work.similar] = work.found
                return
            work.found.file.close()
            reason = said or f"its process ended with {code}."
            self._failed[work.similar] = placeless(reason, work.place)
        _log.warning("Looking for duplicates failed: %s", said or code)

    def _drop(self, similar: bool) -> None:
        if (found := self._kept.pop(similar, None)) is not None:
            found.file.close()


def _failure(reason: str) -> ApiError:
    return ApiError(
        503,
        "duplicates_failed",
        f"Looking for duplicates failed: {reason}",
        "It begins anew when you ask again.",
        {"Retry-After": str(RETRY_SECONDS)},
    )


def _places(file: IO[bytes]) -> dict[str, array[int]]:
    """Where each group begins, by kind."""
    places: dict[str, array[int]] = {}
    file.seek(0)
    at = 0
    for line in file:
        kind = json.loads(line)["kind"]
        places.setdefault(kind, array("Q")).append(at)
        at += len(line)
    return places


def _groups(file: IO[bytes], places: Sequence[int]) -> Iterator[tuple[int, Group]]:
    for place in places:
        file.seek(place)
        yield place, json.loads(file.readline())


def _present(
    gallery: Gallery, groups: Iterator[tuple[int, Group]]
) -> Iterator[tuple[Group, dict[str, Row]]]:
    """Groups with what is still there, and its rows; those that are none any more are left out."""
    for _, group, rows in _alive(gallery, groups):
        if len(group["members"]) > 1:
            yield group, rows


def _alive(
    gallery: Gallery, groups: Iterator[tuple[int, Group]]
) -> Iterator[tuple[int, Group, dict[str, Row]]]:
    while batch := [each for _, each in zip(range(_BATCH), groups, strict=False)]:
        keys = [member["key"] for _, group in batch for member in group["members"]]
        rows = {row.key: row for row in gallery.get_many(keys)}
        for place, group in batch:
            here = [
                member
                for member in group["members"]
                if member["key"] in rows and rows[member["key"]].hash == member["hash"]
            ]
            yield place, {**group, "members": here}, {m["key"]: rows[m["key"]] for m in here}


def _up_to_date(gallery: Gallery, found: _Found) -> bool:
    """Whether what was found still holds; pictures that went since are crossed out."""
    engine = gallery.engine
    if not isinstance(engine, EmbeddedEngine) or found.fingerprint != gallery.about.fingerprint:
        return False
    now = engine.stamp()
    if now == found.stamp:
        return True
    if now[0] != found.stamp[0]:
        return False
    for kind, places in found.places.items():
        left = array("Q")
        for place, group, _ in _alive(gallery, _groups(found.file, places)):
            members = group["members"]
            if len(members) < 2:
                continue
            # What the others are was said beside the one to keep.
            if members[0]["key"] != _first(found.file, place):
                return False
            left.append(place)
        found.places[kind] = left
    found.stamp = now
    return True


def _first(file: IO[bytes], place: int) -> str:
    _, group = next(_groups(file, [place]))
    return str(group["members"][0]["key"])
