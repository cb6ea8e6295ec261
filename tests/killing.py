"""``kill -9`` at random moments of a command that changes a gallery, and what is there then."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toys import TOY_DIMENSION, encode, make_toy_bundle, noise
from vizinho.blobs import LocalBlobs, image_url
from vizinho.engines import Row
from vizinho.gallery import Gallery, layout
from vizinho.gallery.select import walk
from vizinho.images import content_hash

State = dict[str, tuple[Row, bytes]]
"""Rows and the bytes of their vectors, by key."""

KILLS = int(os.environ.get("VIZINHO_KILLS", "2"))
PATIENCE_SECONDS = 600.0
SOURCE = Path(__file__).resolve().parents[1] / "src"
LABELS = ("a", "b", None)


def make_large(path: Path, rows: int) -> Path:
    """A gallery of rows that nobody embedded, unlike each other; every tenth has a picture."""
    chance = np.random.default_rng(rows)
    with Gallery.create(path, model=make_toy_bundle(path.parent / "models")) as gallery:
        data = [encode(noise(number)) if number % 10 == 0 else b"" for number in range(rows)]
        hashes = [content_hash(each or f"{n}".encode()) for n, each in enumerate(data)]
        keys = [f"{number % 7}/{number:06d}.png" for number in range(rows)]
        made = [
            Row(key, image_url(key), hashes[n], LABELS[n % 3], {"n": n})
            for n, key in enumerate(keys)
        ]
        blobs = LocalBlobs(path / layout.IMAGES)
        for known, each in zip(hashes, data, strict=True):
            if each:
                blobs.put(layout.blob_key(known), each)
        gallery.engine.add(made, chance.random((rows, TOY_DIMENSION), np.float32))
    return path


def state(path: Path) -> State:
    """All that a gallery holds."""
    with Gallery.open(path) as gallery:
        rows = list(walk(gallery))
        vectors = gallery.vectors([row.key for row in rows])
        assert gallery.count == len(rows)
        return {row.key: (row, vectors[i].tobytes()) for i, row in enumerate(rows)}


def stored(path: Path) -> set[str]:
    """Content hashes of the pictures whose bytes are in the gallery, each checked."""
    blobs = LocalBlobs(path / layout.IMAGES)
    found = {Path(key).name: key for key in blobs.keys()}  # noqa: SIM118
    for known, key in found.items():
        assert content_hash(blobs.read(key)) == known
    return set(found)


def sound(path: Path, chance: random.Random) -> None:
    """The gallery's files are whole, and what is in it is found, first and at 0.00."""
    home = layout.home(path, layout.read_about(path))
    db = sqlite3.connect(home / layout.CATALOGUE)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    with Gallery.open(path) as gallery:
        keys = [row.key for row in walk(gallery)]
        for key in chance.sample(keys, min(5, len(keys))):
            for exact in (False, True):
                (hits,) = gallery.engine.search(gallery.vectors([key]), 1, exact=exact)
                assert [(hit.key, hit.distance) for hit in hits] == [(key, 0)]


def start(arguments: Sequence[object]) -> subprocess.Popen[bytes]:
    """A Python process with these arguments, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def written_by(path: Path, pid: int) -> bool:
    """Whether this process holds the gallery's lock, or died holding it; not one before it, whose
    mark must stay, as the next writer tidies up because of it."""
    try:
        return (path / "lock").read_text().startswith(f"{pid} ")
    except FileNotFoundError:
        return False


def _marks(path: Path, pattern: str) -> set[tuple[str, int, int]]:
    """What lies in the folders of this pattern, as far as a change shows; files come and go."""
    found = set()
    for folder in path.glob(pattern) if pattern else ():
        for each in (folder, *folder.rglob("*")):
            with suppress(OSError):
                about = each.stat()
                found.add((str(each), about.st_size, about.st_mtime_ns))
    return found


@dataclass
class Kills:
    """One command over a gallery, killed again and again.

    ``arguments`` make it from the gallery's path; ``check`` raises AssertionError for a gallery
    that is neither as before nor as after one of the command's batches. A command has begun when it
    holds the gallery, or, where it works beside it, when something in the folders ``aside`` is no
    longer as it was. Failures name the seed, which VIZINHO_KILL_SEED repeats.
    """

    base: Path
    arguments: Callable[[Path], Sequence[object]]
    check: Callable[[Path], None]
    aside: str = ""
    seed: int = field(
        default_factory=lambda: int(
            os.environ.get("VIZINHO_KILL_SEED", random.SystemRandom().randrange(10**9))
        )
    )

    def run(self, final: Callable[[Path], None]) -> None:
        """Kill `KILLS` times; then let it finish, and check what is ``final``."""
        chance = random.Random(self.seed)
        path = self.base.parent / "victim.vizinho"
        starting, working = self._measure(path)
        print(f"seed {self.seed}: {starting:.2f} s to start, {working:.2f} s of work")
        killed = inside = runs = 0
        fresh = True
        while killed < KILLS:
            runs += 1
            assert runs <= 20 + 10 * KILLS, f"seed {self.seed}: hardly a kill came in time"
            if fresh:
                shutil.rmtree(path)
                shutil.copytree(self.base, path)
            # Most while it works, a few while it starts.
            waits = chance.random() < 0.9
            moment = chance.uniform(0, working if waits else starting + working)
            try:
                done, begun, took = self._kill(path, moment, waits)
                inside += begun and not done
                if done and waits:
                    # It was measured when the machine had more to do.
                    working = min(working, took)
                self.check(path)
                sound(path, chance)
            except AssertionError as error:
                raise AssertionError(
                    f"VIZINHO_KILL_SEED={self.seed}, run {runs}, {moment:.3f} s: {error}"
                ) from error
            killed += not done
            # Half of the next runs go on with what this one left.
            fresh = done or chance.random() < 0.5
        print(f"{inside} of {killed} kills came while the gallery was being changed")
        self._finish(path)
        final(path)

    def _begun(self, path: Path, pid: int, before: set[tuple[str, int, int]]) -> bool:
        if self.aside:
            return _marks(path, self.aside) != before
        return written_by(path, pid)

    def _measure(self, path: Path) -> tuple[float, float]:
        shutil.copytree(self.base, path)
        before = _marks(path, self.aside)
        begin = time.perf_counter()
        process = start(self.arguments(path))
        while process.poll() is None and not self._begun(path, process.pid, before):
            time.sleep(0.001)
        starting = time.perf_counter() - begin
        while process.poll() is None and self._begun(path, process.pid, before):
            time.sleep(0.001)
        working = time.perf_counter() - begin - starting
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, errors.decode()
        return starting, working

    def _finish(self, path: Path) -> None:
        process = start(self.arguments(path))
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        # Where nothing is left to do a verb may say so with 1; what counts is what is there.
        assert process.returncode in (0, 1), errors.decode()

    def _kill(self, path: Path, moment: float, waits: bool) -> tuple[bool, bool, float]:
        """SIGKILL ``moment`` seconds from now, or from when it begins. Returns whether it had
        finished, whether it had begun, and how many seconds of the moment it ran."""
        before = _marks(path, self.aside)
        process = start(self.arguments(path))
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while waits and process.poll() is None and not self._begun(path, process.pid, before):
            assert time.perf_counter() < deadline
            time.sleep(0.001)
        begin = time.perf_counter()
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        took = time.perf_counter() - begin
        assert process.stderr is not None
        with process.stderr as errors:
            said = errors.read().decode()
        assert process.returncode in (0, 1, -signal.SIGKILL), said
        done = process.returncode != -signal.SIGKILL
        return done, self._begun(path, process.pid, before), took
