"""Who may write to a gallery: one process at a time, named in the file it holds.

The kernel frees the lock of a process that is killed, and the file then still names it: that is how
the next writer knows that there may be something to tidy up.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vizinho.blobs import explain_os_error
from vizinho.errors import GalleryBusy, GalleryError

LOCK = "lock"
_LOOK_SECONDS = 0.05
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Patience:
    """How long to wait for another writer: ``seconds``, 0 for not at all. ``told`` hears once, as a
    sentence, for whom."""

    seconds: float = 0.0
    told: Callable[[str], None] | None = None


NONE = Patience()


@contextmanager
def still(path: Path, patience: Patience = NONE) -> Iterator[None]:
    """Keep the gallery as it is: writers wait or get GalleryBusy meanwhile, as does this one beside
    a writer that takes longer than ``patience``. Where nothing can be written nothing is held, for
    nobody could write."""
    if not os.access(path, os.W_OK):
        yield
        return
    descriptor = _opened(path, os.O_RDONLY)
    try:
        _take(path, descriptor, fcntl.LOCK_SH, patience)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path, turn: threading.Lock, patience: Patience = NONE) -> Iterator[bool]:
    """Hold the gallery for writing; yields whether the last writer died without finishing.

    Threads of one `Gallery` wait for each other (``turn``); for another process, or another
    `Gallery` on the same folder, as long as ``patience`` says, and then get GalleryBusy.
    """
    with turn:
        descriptor = _opened(path, os.O_RDWR)
        try:
            _take(path, descriptor, fcntl.LOCK_EX, patience)
            died = os.fstat(descriptor).st_size > 0
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # on a full disk the name of the writer is what we can miss
                os.pwrite(descriptor, f"{os.getpid()} {_program()}\n".encode(), 0)
            yield died
            # Left standing by a kill or an error, so that the next writer tidies up.
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def _opened(path: Path, mode: int) -> int:
    try:
        return os.open(path / LOCK, mode | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise explain_os_error(error, str(path / LOCK)) from error


def _take(path: Path, descriptor: int, kind: int, patience: Patience) -> None:
    deadline = time.monotonic() + patience.seconds
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            break
        except OSError as error:
            holder = _holder(descriptor)
            left = deadline - time.monotonic()
            if left <= 0:
                after = f", also after {patience.seconds:g} s" if waited else ""
                raise GalleryBusy(
                    f"{path} is {holder}{after}.", "Try again when it has finished."
                ) from error
            if not waited and patience.told is not None:
                patience.told(f"{path} is {holder}; waiting for it.")
            waited = True
            time.sleep(min(left, _LOOK_SECONDS))
    # Whoever held it may have put another gallery in this one's place, or removed it.
    with suppress(OSError):
        if os.path.samestat(os.fstat(descriptor), (path / LOCK).stat()):
            return
    raise GalleryError(f"{path} was replaced or removed by another process.", "Open it again.")


def _holder(descriptor: int) -> str:
    """By whom the gallery is held, as far as that process has said who it is."""
    pid, _, program = (
        os.pread(descriptor, _LONGEST_NAME, 0).decode(errors="replace").strip().partition(" ")
    )
    if not pid:
        return "held by another process"
    return f"being written by another process (pid {pid}{f', {program}' if program else ''})"


def _program() -> str:
    """This process as a person would call it: ``vizinho add``."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.name == "__main__.py" else path.name
    if name == "vizinho" and len(sys.argv) > 1 and sys.argv[1].isalpha():
        name += f" {sys.argv[1]}"
    return name[:60] if name.isprintable() else ""
