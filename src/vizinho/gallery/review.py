"""Duplicates found by a child process, for a server that shows them: `start` and what it writes.

The child yields to everything else, and its memory goes with it. Groups go to a file, one JSON
object a line, in the order of `find_duplicates`; the file has no name, so that nothing is left
behind however either process ends. What was found is told on standard error: progress while it
works, a summary at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from vizinho.gallery.dedupe import find_duplicates
from vizinho.gallery.duplicates import Group

_TOLD_SECONDS = 0.3


def start(gallery: Path, kinds: Sequence[str], groups: IO[bytes]) -> subprocess.Popen[bytes]:
    """Begin to look for ``kinds`` of groups, which are written to ``groups``.

    Standard error is a pipe of lines `read` understands. The child does not go on for long after
    this process has died.
    """
    # With one thread: all cores but a share of one are for others.
    code = (
        "import os, sys; os.nice(5); sys.path.insert(0, sys.argv[1])\n"
        "from contextlib import suppress\n"
        "with suppress(ImportError): import faiss; faiss.omp_set_num_threads(1)\n"
        "from vizinho.gallery.review import run\n"
        "run(sys.argv[2], sys.argv[3].split(','), int(sys.argv[4]))\n"
    )
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(gallery), ",".join(kinds), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=groups,
        stderr=subprocess.PIPE,
    )


def run(path: str, kinds: Sequence[str], parent: int) -> None:
    """What the child does."""
    from vizinho.blobs import explain_os_error
    from vizinho.errors import VizinhoError
    from vizinho.gallery.view import GalleryView

    last = 0.0

    def told(done: int, of: int | None) -> None:
        nonlocal last
        if os.getppid() != parent:
            os._exit(1)
        if (now := time.monotonic()) - last > _TOLD_SECONDS:
            last = now
            _say({"done": done, "of": of})

    try:
        with GalleryView.open(path) as gallery:
            found = find_duplicates(gallery, kinds, files=False, progress=told)
        with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as file:
            for group in found.groups:
                file.write(json.dumps(_plain(group)) + "\n")
    except VizinhoError as error:
        _say({"error": str(error)})
        sys.exit(1)
    except OSError as error:
        _say({"error": str(explain_os_error(error, str(error.filename or "the list of groups")))})
        sys.exit(1)
    _say({"pictures": found.pictures, "skipped": len(found.skipped), "distance": found.distance})


def read(line: bytes) -> dict[str, Any]:
    """One line of the child's; empty for one that is not meant for us, such as a warning."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _plain(group: Group) -> dict[str, Any]:
    spare = {member.key for member in group.spare}
    names = ("key", "hash", "bytes", "width", "height", "how")
    members = [
        {**{name: getattr(member, name) for name in names}, "spare": member.key in spare}
        for member in group.members
    ]
    return {"kind": group.kind, "why": group.why, "members": members}


def _say(value: dict[str, Any]) -> None:
    sys.stderr.write(json.dumps(value) + "\n")
    sys.stderr.flush()
