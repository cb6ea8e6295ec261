"""One picture of a source, and what every source has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from vizinho.datasets import Skipped

_KEY_LENGTH = 1024


@dataclass(frozen=True)
class FileState:
    """Size in bytes and time of change: equal ones mean an unread file is taken as unchanged.

    A bucket's times are of whole seconds.
    """

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class SourceItem:
    """A picture that can be added; it is read only when ``read`` is called.

    ``key``: a relative path, stable from run to run, that never leaves the root. ``name``: how
    messages call it. ``read``: its encoded bytes; raises ImageError where this one picture can't
    be had, SourceError where none can. ``url``: where it stays to be seen (``s3://...``), None for
    what lies on this machine. ``label``: its class, where the source knows one. ``state``: None
    where the source can't say whether it changed.
    """

    key: str
    name: str
    read: Callable[[], bytes]
    url: str | None = None
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    state: FileState | None = None


class Tree(Protocol):
    """Pictures under one root, by keys relative to it. Can be pickled, for other processes."""

    @property
    def root(self) -> str:
        """The root as a person writes it: an absolute folder, or ``s3://bucket/prefix``."""
        ...

    def walk(self, skipped: list[Skipped]) -> Iterator[tuple[str, FileState]]:
        """Key and state of each picture; what could not be looked at goes to ``skipped``.

        Raises SourceError when the root can't be listed.
        """
        ...

    def read(self, key: str) -> bytes:
        """Encoded bytes of a picture; raises ImageError for it alone, SourceError for them all."""
        ...

    def url(self, key: str) -> str | None:
        """Where the picture is to be had from any machine, if so."""
        ...


def key_fault(key: str) -> str:
    """Why ``key`` can't be one, in words; empty if it can."""
    parts = PurePosixPath(key).parts
    if not key.isprintable():
        return "Its name has characters that can't be kept; rename it."
    if not parts or key.startswith("/") or ".." in parts or str(PurePosixPath(key)) != key:
        return "Its name is no plain relative path; rename it."
    if len(key) > _KEY_LENGTH:
        return f"Its name is longer than {_KEY_LENGTH} characters; rename it."
    return ""


def shown(name: str) -> str:
    """``name`` as it may be printed and kept: what is not text is replaced."""
    return name.encode(errors="replace").decode()


def folder_label(key: str) -> str | None:
    """The name of the folder that a picture lies in."""
    return PurePosixPath(key).parent.name or None


def tree_items(
    tree: Tree, skipped: list[Skipped], *, prefix: str = "", labels: bool = False
) -> Iterator[SourceItem]:
    """Every picture of a tree; ``prefix`` goes before the keys, ``labels`` are folders' names."""
    for key, state in tree.walk(skipped):
        yield SourceItem(
            f"{prefix}{key}",
            f"{prefix}{key}",
            lambda key=key: tree.read(key),  # type: ignore[misc]  # each has its own
            url=tree.url(key),
            label=folder_label(key) if labels else None,
            state=state,
        )
