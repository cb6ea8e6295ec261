"""``kill -9`` in the middle of ``vizinho index``, twenty times: nothing lost, nothing half-written.

The command line itself is run as a process of its own, on a folder of generated photos, and killed
with SIGKILL at random moments; after each kill the gallery is looked at, and the next run goes on.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from killing import PATIENCE_SECONDS, written_by
from toys import encode, make_toy_bundle, noise
from vizinho.gallery import Gallery
from vizinho.images import content_hash

Snapshot = dict[str, tuple[str, bytes]]

PICTURES = 300
KILLS = 20
SOURCE = Path(__file__).resolve().parents[2] / "src"


# No two pictures are ever alike: of two, the one that came first is kept, which a gallery that
# lived through the kills and one made afterwards see differently.
SEEDS = itertools.count(10_000)


def start(folder: Path, gallery: Path, bundle: Path) -> subprocess.Popen[bytes]:
    """``vizinho index`` in a process group of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "vizinho", "index", str(folder)),
            *("--gallery", str(gallery), "--model", str(bundle)),
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors.decode()


def change(folder: Path, round_: int) -> None:
    """Between two runs the folder changes, so that there is always something to do."""
    chance = random.Random(round_)
    names = sorted(path.name for path in folder.iterdir())
    for name in chance.sample(names, 12):
        (folder / name).unlink()
    for name in chance.sample(sorted(path.name for path in folder.iterdir()), 12):
        (folder / name).rename(folder / f"r{round_:02d}-{name}")
    for number in range(60):
        write(folder / f"n{round_:02d}-{number:02d}.png", next(SEEDS))
    for name in chance.sample(sorted(path.name for path in folder.iterdir()), 8):
        write(folder / name, next(SEEDS))


def write(path: Path, seed: int) -> None:
    # Not tiny, so that decoding takes a while and the kill finds something under way.
    path.write_bytes(encode(noise(seed, (96, 72))))


def snapshot(path: Path) -> Snapshot:
    """Hash and vector of every row."""
    with Gallery.open(path) as gallery:
        rows = gallery.items(limit=100_000)
        vectors = gallery.vectors([row.key for row in rows])
        return {row.key: (row.hash, vectors[i].tobytes()) for i, row in enumerate(rows)}


def check(path: Path, folder: Path, before: Snapshot) -> None:
    """The gallery after a kill: it opens, each row is whole, and nothing committed was lost."""
    now = snapshot(path)
    on_disk = {file.name: content_hash(file.read_bytes()) for file in folder.iterdir()}
    assert len({content for content, _ in now.values()}) == len(now)
    lost = {content for content, _ in before.values()} & set(on_disk.values())
    lost -= {content for content, _ in now.values()}
    assert not lost, "pictures that were indexed, and whose files are there, are gone"
    true = [key for key, (content, _) in now.items() if on_disk.get(key) == content]
    # The files of the others changed or went since: they wait for the next run as they were.
    for key in set(now) - set(true):
        assert now[key] == before[key]
    with Gallery.open(path) as gallery:
        for key in random.sample(true, min(8, len(true))):
            fresh = gallery.embedder.embed([folder / key])
            assert now[key][1] == fresh[0].tobytes()
            (match,) = gallery.search(folder / key, k=1)
            assert (match.key, match.distance) == (key, 0)


def leftovers(path: Path) -> list[str]:
    """Files in or beside the gallery that a finished run should not leave."""
    expected = {"gallery.json", "catalogue.sqlite", "folder.sqlite", "model.onnx", "bundle.json"}
    inside = [file for file in path.rglob("*") if file.is_file() and file.name not in expected]
    beside = [p for p in path.parent.iterdir() if p.name.startswith(".") or "partial" in p.name]
    return [str(p) for p in (*inside, *beside) if p.name != "lock"]


def kill_at(process: subprocess.Popen[bytes], path: Path, moment: float, writing: bool) -> bool:
    """SIGKILL ``moment`` seconds from now, or from when the run begins to write; False if the run
    had finished before."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while writing and process.poll() is None and not written_by(path, process.pid):
        assert time.perf_counter() < deadline
        time.sleep(0.001)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stderr is not None
    with process.stderr as errors:
        said = errors.read().decode()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    folder, path = tmp_path / "photos", tmp_path / "photos.vizinho"
    bundle = make_toy_bundle(tmp_path / "models")
    folder.mkdir()
    for number in range(PICTURES):
        write(folder / f"{number:04d}.png", number)

    begin = time.perf_counter()
    process = start(folder, tmp_path / "whole.vizinho", bundle)
    while not written_by(tmp_path / "whole.vizinho", process.pid):
        assert process.poll() is None
        time.sleep(0.001)
    starting = time.perf_counter() - begin
    finish(process)
    writing = time.perf_counter() - begin - starting

    seed = random.SystemRandom().randrange(10**9)
    random.seed(seed)
    print(f"seed {seed}: {starting:.2f} s to start, {writing:.2f} s to write {PICTURES} pictures")
    kills = inside = runs = 0
    before: Snapshot = {}
    finished = False
    while kills < KILLS or inside < KILLS // 4:
        runs += 1
        assert runs <= 10 * KILLS, f"seed {seed}: hardly a kill came in time"
        # Half of the runs go on with what the one before left; after a whole one nothing is left.
        if finished or kills % 2:
            change(folder, runs)
        # Every fourth anywhere, the creation of the gallery included; the others while writing.
        anywhere = kills % 4 == 0
        moment = random.uniform(0, starting + writing) if anywhere else random.uniform(0, writing)
        process = start(folder, path, bundle)
        killed = kill_at(process, path, moment, writing=not anywhere)
        finished = not killed
        kills += killed
        if path.exists():
            inside += killed and written_by(path, process.pid)
            check(path, folder, before)
            before = snapshot(path)
    print(f"{inside} of {kills} kills came between the first and the last write")

    finish(start(folder, path, bundle))
    finish(start(folder, tmp_path / "undisturbed.vizinho", bundle))
    assert snapshot(path) == snapshot(tmp_path / "undisturbed.vizinho")
    assert leftovers(path) == []
    check(path, folder, {})
