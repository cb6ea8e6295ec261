"""Whether the derived index of a catalogue should be made anew, and doing so in the background."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vizinho.engines import derived, schema
from vizinho.engines.derived import Manifest, Stale

# 4 MB of vectors: less than that is read from the catalogue in no time.
LEAST_NUMBERS = 1_000_000
_TAIL = {"flat": (10_000, 5), "ivf": (2_000, 50)}
"""When the tail is too long: more rows than the first number, and than one in the second."""
_REMOVED = (1_000, 5)


@dataclass(frozen=True)
class State:
    """A catalogue and its index, counted without reading rows: ``reason`` says why the index should
    be made (anew), and is empty when it is as it should be."""

    about: schema.About
    manifest: Manifest | None
    tail: int
    removed: int
    reason: str


def state(db: sqlite3.Connection, folder: Path) -> State:
    """How the index of a catalogue of today's format is; ``folder`` holds its indexes."""
    about = schema.about(db)
    (removed,) = db.execute("SELECT count(*) FROM removed").fetchone()
    if about.index.startswith(schema.NO_INDEX):
        large = about.count * about.dimension >= LEAST_NUMBERS
        forget = removed > max(_REMOVED[0], about.count)
        reason = "there is none yet" if large else "many rows went" if forget else ""
        return State(about, None, about.count, removed, reason)
    try:
        manifest = derived.read_manifest(folder / about.index)
    except Stale as error:
        return State(about, None, about.count, removed, str(error))
    query = "SELECT count(*) FROM vectors WHERE id > ?"
    (tail,) = db.execute(query, (manifest.last_id,)).fetchone()
    options = schema.Options(manifest.latency_ms, manifest.recall)
    least, share = _TAIL[manifest.kind]
    if options != about.options:
        reason = "other options were given"
    elif tail > max(least, manifest.count // share):
        reason = f"{tail:,} pictures were added"
    elif removed > max(_REMOVED[0], manifest.count // _REMOVED[1]):
        reason = f"{removed:,} pictures were removed"
    else:
        reason = ""
    return State(about, manifest, tail, removed, reason)


def start_child(catalogue: Path, *, force: bool = False) -> subprocess.Popen[bytes]:
    """Begin `build` in a process of its own that yields to all others; whoever started it waits for
    it, or ends it: that harms nothing. It does not go on for long after this process has died."""
    # With one thread: all cores but a share of one are for others.
    code = (
        "import os, sys; os.nice(10); sys.path.insert(0, sys.argv[2])\n"
        "from contextlib import suppress; from pathlib import Path\n"
        "with suppress(ImportError): import faiss; faiss.omp_set_num_threads(1)\n"
        "from vizinho.engines.building import build\n"
        "from vizinho.errors import VizinhoError\n"
        "def alone(*_): os.getppid() == int(sys.argv[4]) or os._exit(1)\n"
        "try: build(Path(sys.argv[1]), force=sys.argv[3] == 'True', progress=alone)\n"
        "except VizinhoError as error: sys.exit(str(error))\n"
    )
    # Wherever this code was found, the child finds it too.
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, str(catalogue), str(root), str(force), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
