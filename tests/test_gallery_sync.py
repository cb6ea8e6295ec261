"""A mirror after any changes: the same as a gallery made anew, whatever the size of a page."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from toys import encode, noise
from vizinho.datasets import Skipped
from vizinho.errors import UnreadableImage
from vizinho.gallery import Gallery, sync
from vizinho.sources import FileState

ROUNDS = 25


class MemoryTree:
    """Pictures in memory, as a folder would hold them; counts what is read."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self.clock = 0
        self.reads: list[str] = []

    @property
    def root(self) -> str:
        return "memory://tree"

    def walk(self, skipped: list[Skipped]) -> Iterator[tuple[str, FileState]]:
        for key, (data, when) in sorted(self.files.items()):
            yield key, FileState(len(data), when)

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        if key not in self.files:
            raise UnreadableImage(f"{key} is gone.")
        return self.files[key][0]

    def url(self, key: str) -> str | None:
        return None

    def put(self, key: str, data: bytes) -> None:
        self.clock += 1
        self.files[key] = (data, self.clock)


def shuffled(tree: MemoryTree, dice: random.Random, fresh: Iterator[bytes]) -> None:
    """Some of what happens to folders: new, other, gone, touched, copied, renamed in a circle."""
    keys = sorted(tree.files)
    some = dice.sample(keys, min(len(keys), dice.randint(2, 9)))
    match dice.choice(["new", "change", "drop", "touch", "copy", "circle", "prefix"]):
        case "new":
            tree.put(f"n{tree.clock}.png", next(fresh))
        case "change":
            tree.put(some[0], next(fresh))
        case "drop" if len(keys) > 4:
            del tree.files[some[0]]
        case "touch":
            tree.put(some[0], tree.files[some[0]][0])
        case "copy":
            tree.put(f"c{tree.clock}.png", tree.files[some[0]][0])
        case "circle":
            # A rename keeps a file's time.
            held = [tree.files[key] for key in some]
            for key, file in zip(some, held[1:] + held[:1], strict=True):
                tree.files[key] = file
        case "prefix":
            tree.files = {f"p{key}": file for key, file in tree.files.items()}


@pytest.mark.parametrize("page", [1, 3, 1000])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_a_gallery_made_anew(
    page: int, seed: int, tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PAGE", page)
    dice = random.Random(seed)
    fresh = (encode(noise(seed * 1000 + number)) for number in range(10_000))
    tree = MemoryTree()
    for number in range(12):
        tree.put(f"{number:02d}.png", next(fresh))
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        for _ in range(ROUNDS):
            gallery.sync(tree)
            contents = {data for data, _ in tree.files.values()}
            rows = gallery.items(limit=1000)
            assert len(rows) == len(contents)
            for row in rows:
                (match,) = gallery.search(tree.files[row.key][0], k=1)
                assert (match.key, match.distance) == (row.key, 0)
            tree.reads.clear()
            report = gallery.sync(tree)
            assert (report.unchanged + report.duplicates, tree.reads) == (len(tree.files), [])
            shuffled(tree, dice, fresh)


def test_whole_folder_renamed_embeds_nothing(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PAGE", 4)
    tree = MemoryTree()
    for number in range(30):
        tree.put(f"old/{number:02d}.png", encode(noise(number)))
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.sync(tree)
        tree.files = {key.replace("old", "new"): file for key, file in tree.files.items()}
        report = gallery.sync(tree)
        assert (report.renamed, report.added, report.removed) == (30, 0, 0)
        assert "embed" not in report.stages


def test_a_long_chain_of_moves_asks_no_endless_question(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pictures renumbered by one: a statement takes a limited number of values."""
    tree = MemoryTree()
    for number in range(40):
        tree.files[f"{number:03d}.png"] = (encode(noise(number)), number)
    monkeypatch.setattr(sync, "PAGE", 4)
    longest = [0]
    query = sync.FileRecords.query

    def counted(records: sync.FileRecords, statement: str, *values: object) -> list[object]:
        longest[0] = max(longest[0], len(values))
        return query(records, statement, *values)

    monkeypatch.setattr(sync.FileRecords, "query", counted)
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.sync(tree)
        longest[0] = 0
        tree.files = {f"{int(name[:3]) + 1:03d}.png": file for name, file in tree.files.items()}
        report = gallery.sync(tree)
    assert (report.renamed, report.added, report.removed) == (40, 0, 0)
    assert longest[0] <= 5
