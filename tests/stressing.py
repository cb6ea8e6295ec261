"""Two writers and four readers at one gallery, each a process of its own, for as long as wanted.

What every answer must be is known beforehand, however the writers come and go:

- The pictures ``stay/...`` are there all the time, and each answers itself first, at 0.00.
- A picture ``go/W/...`` is writer W's, which adds, labels and removes it; its vector is made from
  its key, so any row that is found shows by its distance whether it has its own vector.
- A writer's label and metadata of a row are written together, and must be read together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import image_url
from vizinho.engines import Row
from vizinho.gallery import Gallery
from vizinho.gallery.lock import Patience
from vizinho.gallery.select import walk

WRITERS, READERS = 2, 4
STAYING, GOING = 400, 300
"""Pictures that stay, and the most that each writer has in the gallery at once."""
SOURCES = f"{Path(__file__).resolve().parents[1] / 'src'}"
_BATCH = 12
_LEAST_TURNS = 20
"""However slow the machine, so that each kind of change and question comes in."""
_WAIT_SECONDS = 120.0


def vector_of(key: str, dimension: int) -> NDArray[np.float32]:
    """The one vector that a row of this key ever has."""
    return np.random.default_rng(zlib.crc32(key.encode())).random(dimension, np.float32)


def row_of(key: str, turn: int) -> Row:
    """What is said of ``key`` in its writer's turn; label and metadata say the same number."""
    known = f"{zlib.crc32(key.encode()):064x}"
    return Row(key, image_url(key), known, f"turn {turn}", {"turn": turn})


def staying() -> list[str]:
    """The keys that are there all the time."""
    return [f"stay/{number:04d}" for number in range(STAYING)]


def fill(gallery: Gallery) -> None:
    """Put in what stays."""
    keys = staying()
    vectors = np.stack([vector_of(key, gallery.about.dimension) for key in keys])
    gallery.engine.add([row_of(key, 0) for key in keys], vectors)


def write(path: Path, name: int, seconds: float) -> dict[str, int]:
    """Add, label and remove until the time is up; after each turn check what is there."""
    chance = np.random.default_rng(name)
    mine: dict[str, int] = {}
    done = {"added": 0, "labelled": 0, "removed": 0, "turns": 0}
    end = time.monotonic() + seconds
    with Gallery.open(path) as gallery:
        gallery.patience = Patience(_WAIT_SECONDS)
        while time.monotonic() < end or done["turns"] < _LEAST_TURNS:
            turn = done["turns"] = done["turns"] + 1
            what = chance.integers(3)
            names = [f"go/{name}/{chance.integers(GOING):04d}" for _ in range(_BATCH)]
            if what == 0:
                new = sorted(set(names) - set(mine))
                if new:
                    vectors = np.stack([vector_of(key, gallery.about.dimension) for key in new])
                    # As the gallery's own verbs do it: with the lock, through the engine.
                    with gallery._writing():
                        gallery.engine.add([row_of(key, turn) for key in new], vectors)
                mine.update(dict.fromkeys(new, turn))
                done["added"] += len(new)
            elif what == 1:
                there = sorted(set(names) & set(mine))
                with gallery._writing():
                    changed = gallery.engine.update([row_of(key, turn) for key in there])
                assert changed == len(there), (changed, there)
                mine.update(dict.fromkeys(there, turn))
                done["labelled"] += len(there)
            else:
                there = sorted(set(names) & set(mine))
                removed = gallery.remove(names)
                assert removed == len(there), (removed, there)
                for key in there:
                    del mine[key]
                done["removed"] += removed
            check_own(gallery, name, names, mine)
        check_own(gallery, name, [f"go/{name}/{n:04d}" for n in range(GOING)], mine)
    return done


def check_own(gallery: Gallery, name: int, keys: Sequence[str], mine: dict[str, int]) -> None:
    """Of a writer's keys exactly those it has put in are there, as it wrote them last."""
    asked = sorted(set(keys))
    found = gallery.get_many(asked)
    assert found == [row_of(key, mine[key]) for key in asked if key in mine], name


def read(path: Path, name: int, seconds: float) -> dict[str, int]:
    """Ask until the time is up, and check every answer."""
    chance = np.random.default_rng(1000 + name)
    keys = staying()
    done = {"searches": 0, "seen_others": 0, "pages": 0}
    most = STAYING + WRITERS * GOING
    end = time.monotonic() + seconds
    with Gallery.open(path) as gallery:
        dimension = gallery.about.dimension
        while time.monotonic() < end or done["pages"] < _LEAST_TURNS:
            asked = [keys[i] for i in chance.integers(len(keys), size=4)]
            vectors = np.stack([vector_of(key, dimension) for key in asked])
            for key, vector, matches in zip(
                asked, vectors, gallery.search_vectors(vectors, 10), strict=True
            ):
                assert len(matches) == 10, (key, len(matches))
                check_matches(vector, matches)
                assert (matches[0].key, matches[0].distance) == (key, 0), (key, matches[0])
                done["searches"] += 1
                done["seen_others"] += sum(match.key.startswith("go/") for match in matches)
            turn = f"turn {chance.integers(1, 30)}"
            for match in gallery.search_vectors(vectors[:1], 5, filter={"label": turn})[0]:
                assert match.label == turn, match
            check_page(gallery, chance)
            assert STAYING <= gallery.count <= most, gallery.count
            done["pages"] += 1
    return done


def check_matches(vector: NDArray[np.float32], matches: Sequence[Any]) -> None:
    """Each answer is at the distance of its own vector, in order, none twice, rows whole."""
    distances = [match.distance for match in matches]
    assert distances == sorted(distances), matches
    assert len({match.key for match in matches}) == len(matches), matches
    for match in matches:
        other = vector_of(match.key, len(vector)).astype(np.float64)
        true = float(np.linalg.norm(vector.astype(np.float64) - other))
        assert abs(match.distance - true) < 1e-9, (match, true)
        assert match.label == f"turn {match.metadata['turn']}", match


def check_page(gallery: Gallery, chance: np.random.Generator) -> None:
    """A page is in order, rows are whole, and what stays is on it without a gap."""
    first = int(chance.integers(STAYING - 50))
    after = "" if chance.random() < 0.5 else f"stay/{first:04d}"
    rows = gallery.walk(after, 40)
    found = [row.key for row in rows]
    assert found == sorted(set(found)), found
    if after:
        assert found == [f"stay/{first + 1 + n:04d}" for n in range(40)], found
    for row in rows:
        assert row == row_of(row.key, row.metadata["turn"]), row


def stress(path: Path, seconds: float) -> dict[str, Any]:
    """Run them all on the gallery at ``path``, which `fill` has filled; returns what they did.

    Raises AssertionError with the words of the first process that saw something wrong.
    """
    jobs = [("write", n) for n in range(WRITERS)] + [("read", n) for n in range(READERS)]
    running = [
        subprocess.Popen(
            [sys.executable, __file__, kind, str(path), str(name), str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for kind, name in jobs
    ]
    total: dict[str, Any] = {"seconds": seconds, "writers": WRITERS, "readers": READERS}
    wrong = []
    for (kind, name), process in zip(jobs, running, strict=True):
        answer, errors = process.communicate(timeout=seconds + 600)
        if process.returncode:
            wrong.append(f"{kind} {name}: {errors[-3000:]}")
            continue
        for what, count in json.loads(answer).items():
            total[what] = total.get(what, 0) + count
    assert not wrong, "\n".join(wrong)
    check_after(path)
    return total


def check_after(path: Path) -> None:
    """When all have gone: every row has its own vector, and finds itself."""
    with Gallery.open(path) as gallery:
        rows = list(walk(gallery))
        keys = [row.key for row in rows]
        assert set(staying()) <= set(keys)
        assert gallery.count == len(keys) == len(set(keys))
        dimension = gallery.about.dimension
        expected = np.stack([vector_of(key, dimension) for key in keys])
        assert np.array_equal(gallery.vectors(keys), expected)
        for exact in (False, True):
            hits = gallery.engine.search(expected, 1, exact=exact)
            assert [(hit.key, hit.distance) for (hit,) in hits] == [(key, 0) for key in keys]


if __name__ == "__main__":
    act = {"write": write, "read": read}[sys.argv[1]]
    print(json.dumps(act(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
