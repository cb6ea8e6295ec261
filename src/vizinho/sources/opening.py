"""What a person names, as a stream of pictures."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from vizinho.datasets import Skipped
from vizinho.errors import ImageError, SourceError
from vizinho.images import content_hash, is_image_name, media_type, read_bytes
from vizinho.sources.bucket import BucketTree, read_url
from vizinho.sources.folder import FolderTree
from vizinho.sources.items import (
    FileState,
    SourceItem,
    Tree,
    folder_label,
    key_fault,
    shown,
    tree_items,
)
from vizinho.sources.parquet import parquet_items
from vizinho.sources.s3 import SCHEME, connect, explained, find_way, split_url

STDIN = "-"
_WILD = re.compile(r"[*?\[]")
_HEAD = 4096
_LONGEST_LINE = 8192
_ANYWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Sources:
    """Iterate once over the pictures; ``skipped`` fills on the way with what was left out."""

    def __init__(self, items: Iterable[SourceItem], skipped: list[Skipped]) -> None:
        self._items = iter(items)
        self.skipped = skipped

    def __iter__(self) -> Iterator[SourceItem]:
        return self._items


def open_sources(
    specs: Sequence[str],
    *,
    recursive: bool = True,
    labels: bool = False,
    stdin: BinaryIO | None = None,
    stdin_name: str | None = None,
) -> Sources:
    """The pictures of all ``specs``, one after the other, nothing read before it is its turn.

    A spec is a picture file, a folder, a pattern (``photos/**/*.jpg``), an object or prefix of a
    bucket (``s3://bucket/holidays``), a ``.parquet`` file here or in a bucket, or ``-``: standard
    input, which is one picture (called ``stdin_name``) or a list of paths and s3:// addresses, one
    a line.

    Keys are relative to the folder, prefix or pattern's fixed part; a file's is its name, a listed
    path's the whole path without what leads out of a folder. Of several specs each goes under its
    own name, as ``cp -r`` does. ``labels``: the name of a picture's folder as its label.

    Raises SourceError for a spec that leads nowhere: for what can be told without reading at once,
    otherwise on the way.
    """
    skipped: list[Skipped] = []
    names = _Names(several=len(specs) > 1)
    streams = [
        _standard_input(stdin, stdin_name, skipped, labels)
        if spec == STDIN
        else _stream(spec, names, skipped, recursive=recursive, labels=labels)
        for spec in specs
    ]
    return Sources(itertools.chain.from_iterable(streams), skipped)


def open_tree(spec: str) -> Tree | None:
    """The folder or bucket that ``spec`` names, for mirroring; None when it is something else.

    Raises SourceError where the bucket can't be reached.
    """
    if spec.startswith(SCHEME):
        return None if spec.lower().endswith(".parquet") else BucketTree(spec)
    return FolderTree(spec) if Path(spec).is_dir() else None


class _Names:
    """Names of the specs, made unique in the order in which they come."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._taken: set[str] = set()

    def prefix(self, name: str) -> str:
        """What goes before the keys of a whole folder: nothing where it is the only spec."""
        return f"{self.unique(name)}/" if self._several else ""

    def unique(self, name: str) -> str:
        path = PurePosixPath(name)
        numbered = (f"{path.stem}-{n}{path.suffix}" for n in itertools.count(2))
        chosen = next(n for n in itertools.chain([name], numbered) if n not in self._taken)
        self._taken.add(chosen)
        return chosen


def _stream(
    spec: str, names: _Names, skipped: list[Skipped], *, recursive: bool, labels: bool
) -> Iterator[SourceItem]:
    path = Path(spec)
    if spec.startswith(SCHEME):
        return _bucket(spec, names, skipped, recursive=recursive, labels=labels)
    if _ANYWHERE.match(spec):
        raise SourceError(f"{spec} is not fetched.", "Name a file, a folder or s3://BUCKET/PREFIX.")
    if path.is_dir():
        tree = FolderTree(path, recursive=recursive)
        prefix = names.prefix(tree.folder.name or "folder")
        return tree_items(tree, skipped, prefix=prefix, labels=labels)
    if not path.exists() and _WILD.search(spec):
        return _pattern(spec, names, skipped, recursive=recursive, labels=labels)
    if not path.exists():
        raise SourceError(f"{spec} does not exist.", "Name a picture, a folder or a pattern.")
    if path.suffix.lower() == ".parquet":
        return parquet_items(spec, skipped, prefix=names.prefix(path.stem))
    key = names.unique(path.name)
    return _one_file(path, key, skipped, folder_label(str(path.resolve())) if labels else None)


def _one_file(
    path: Path, key: str, skipped: list[Skipped], label: str | None
) -> Iterator[SourceItem]:
    """A file that was named is taken whatever its suffix: its first bytes say what it is."""
    try:
        found = path.stat()
    except OSError as error:
        skipped.append(Skipped(shown(str(path)), f"It can't be opened: {error.strerror}."))
        return
    reason = key_fault(key) or ("" if path.is_file() else "It is not a plain file.")
    if reason:
        skipped.append(Skipped(shown(str(path)), reason))
        return
    state = FileState(found.st_size, found.st_mtime_ns)
    yield SourceItem(key, str(path), lambda: read_bytes(path), label=label, state=state)


def _pattern(
    spec: str, names: _Names, skipped: list[Skipped], *, recursive: bool, labels: bool
) -> Iterator[SourceItem]:
    parts = Path(spec).parts
    wild = next(i for i, part in enumerate(parts) if _WILD.search(part))
    root = Path(*parts[:wild])
    prefix = names.prefix(root.resolve().name or "pattern")
    found = sorted(glob.glob(spec, recursive=True))  # noqa: PTH207 - it may be absolute
    if not found:
        raise SourceError(f"Nothing matches {spec}.", "Patterns know *, ?, [abc] and **.")
    seen: set[str] = set()
    for match in found:
        path = Path(match)
        inside = Path(os.path.relpath(match, root)).as_posix()
        if path.is_dir():
            # ** gives folders and what is in them; another pattern means the whole folder.
            if recursive and "**" not in spec:
                tree = FolderTree(path)
                yield from tree_items(tree, skipped, prefix=f"{prefix}{inside}/", labels=labels)
        elif is_image_name(path) and inside not in seen:
            seen.add(inside)
            label = folder_label(str(path.resolve())) if labels else None
            yield from _one_file(path, prefix + inside, skipped, label)
        elif path.suffix.lower() == ".parquet":
            yield from parquet_items(match, skipped, prefix=prefix)


def _bucket(
    spec: str, names: _Names, skipped: list[Skipped], *, recursive: bool, labels: bool
) -> Iterator[SourceItem]:
    bucket, key = split_url(spec)
    name = PurePosixPath(key).name or bucket
    if key.lower().endswith(".parquet"):
        return parquet_items(spec, skipped, prefix=names.prefix(PurePosixPath(key).stem))
    if is_image_name(key):
        with explained(spec):
            (info,) = connect(find_way(bucket)).get_file_info([f"{bucket}/{key}"])
        if info.is_file:
            state = FileState(info.size, info.mtime_ns or 0)
            label = folder_label(key) if labels else None
            item = SourceItem(names.unique(name), spec, lambda: read_url(spec), spec, label)
            return iter([SourceItem(**{**vars(item), "state": state})])
    tree = BucketTree(spec, recursive=recursive)
    return tree_items(tree, skipped, prefix=names.prefix(name), labels=labels)


def _standard_input(
    stdin: BinaryIO | None, name: str | None, skipped: list[Skipped], labels: bool
) -> Iterator[SourceItem]:
    if stdin is None:
        raise SourceError("There is no standard input here.", "Name files instead of -.")
    head = stdin.read(_HEAD)
    if not head:
        raise SourceError("Standard input is empty.", "Give it a picture, or paths, one a line.")
    try:
        kind = media_type(head)
    except ImageError:
        if b"\0" in head:
            raise SourceError(
                "Standard input is neither a picture nor a list of paths.",
                "Give it a picture, or paths, one a line.",
            ) from None
        for line in _lines(head, stdin):
            yield from _listed(line, skipped, labels)
        return
    data = head + stdin.read()
    key = name or f"{content_hash(data)[:16]}.{kind.partition('/')[2].replace('jpeg', 'jpg')}"
    if reason := key_fault(key):
        raise SourceError(f"{shown(key)!r} can't be the picture's name. {reason}")
    yield SourceItem(key, name or "standard input", lambda: data)


def _lines(head: bytes, stdin: BinaryIO) -> Iterator[str]:
    rest = head + stdin.readline(_LONGEST_LINE)
    while rest:
        for line in rest.splitlines():
            if text := os.fsdecode(line).strip("\r\n"):
                yield text
        rest = stdin.readline(_LONGEST_LINE)


def _listed(line: str, skipped: list[Skipped], labels: bool) -> Iterator[SourceItem]:
    """One line of a list: a picture here or in a bucket; a wrong line is skipped, not the end."""
    key = "/".join(
        part for part in line.removeprefix(SCHEME).split("/") if part not in ("", ".", "..")
    )
    label = folder_label(key) if labels else None
    if line.startswith(SCHEME):
        try:
            split_url(line)
        except SourceError as error:
            skipped.append(Skipped(shown(line), error.message))
        else:
            if reason := key_fault(key):
                skipped.append(Skipped(shown(line), reason))
            else:
                yield SourceItem(key, line, lambda: read_url(line), line, label)
    elif _ANYWHERE.match(line):
        skipped.append(Skipped(shown(line), "Only files and s3:// addresses are read."))
    elif Path(line).is_dir():
        skipped.append(Skipped(shown(line), "It is a folder; name it on the command line."))
    else:
        yield from _one_file(Path(line), key, skipped, label)
