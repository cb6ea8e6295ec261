"""One file over HTTP that may break off: resumed, checked, then renamed into place."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vizinho.errors import DownloadError
from vizinho.progress import Progress

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CHUNK = 256 * 1024
_AGENT = {"User-Agent": "vizinho (https://github.com/vizinho/vizinho)"}
_NETWORK = (OSError, http.client.HTTPException)


class LocalError(DownloadError):
    """The trouble is on this machine; another source would not help."""


@dataclass(frozen=True)
class Patience:
    """``timeout`` seconds without a byte break a connection; after ``attempts`` in a row that
    brought nothing it is given up, with a ``pause`` in seconds between them that doubles."""

    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0


PATIENT = Patience()


def fetch_file(
    url: str,
    target: Path,
    *,
    verify: Callable[[Path], None],
    progress: Progress | None = None,
    patience: Patience = PATIENT,
) -> None:
    """Download ``url`` to ``target``, which appears only once it is whole and ``verify`` agrees.

    What has come so far stays in ``target.part`` and is taken up again, in this call and the next,
    as long as the server says the file is still the same (HTTP Range with If-Range). ``verify``
    gets the path of the whole file and raises `DownloadError` when it is not the right one; the
    file is then thrown away. ``progress`` counts bytes.

    Raises `DownloadError`.
    """
    part = target.with_name(f"{target.name}.part")
    note = target.with_name(f"{target.name}.part.json")
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    with _alone(part):
        _get_all(url, part, note, progress, patience)
        try:
            verify(part)
        except DownloadError:
            part.unlink()
            note.unlink(missing_ok=True)
            raise
        with _disk(target):
            part.replace(target)
            note.unlink(missing_ok=True)


def _get_all(
    url: str, part: Path, note: Path, progress: Progress | None, patience: Patience
) -> None:
    failures = 0
    while True:
        before = part.stat().st_size
        try:
            return _get(url, part, note, progress, patience.timeout)
        except urllib.error.HTTPError as error:
            # 408 and 429 pass with time, as the 5xx do; the other 4xx don't.
            if error.code < 500 and error.code not in (408, 429):
                raise DownloadError(f"{url} answers {error.code} {error.reason}.") from error
            reason: Exception = error
        except _NETWORK as error:
            reason = error
        failures = 1 if part.stat().st_size > before else failures + 1
        # A name that nobody knows: the machine is offline, and asking again would only take time.
        hopeless = not before and _unknown_host(reason)
        if hopeless or failures >= patience.attempts:
            raise DownloadError(f"{url} can't be fetched: {_words(reason)}.") from reason
        time.sleep(patience.pause * 2 ** (failures - 1))


def remote_size(url: str, patience: Patience = PATIENT) -> int | None:
    """Bytes behind ``url`` as the server announces them; None where it doesn't."""
    request = urllib.request.Request(url, headers=_AGENT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=patience.timeout) as answer:
            return _number(answer.headers.get("Content-Length"))
    except _NETWORK:
        return None


def _get(url: str, part: Path, note: Path, progress: Progress | None, timeout: float) -> None:
    """One request that goes on where ``part`` ends; returns when the file is whole."""
    have = part.stat().st_size
    validator = _noted(note, url) if have else None
    headers = dict(_AGENT)
    if validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and validator:
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            # The file has changed under its name: from the start, at the next attempt.
            note.unlink(missing_ok=True)
            raise ConnectionError("the file changed while it was fetched") from error
        raise
    with answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        start = have if resumed else 0
        if resumed and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            note.unlink(missing_ok=True)
            raise ConnectionError("the server resumed at another place than asked")
        length = _number(answer.headers.get("Content-Length"))
        total = None if length is None else start + length
        with _disk(part):
            _write_note(note, url, answer.headers)
            file = part.open("r+b")
        with file:
            file.truncate(start)
            file.seek(start)
            _pour(answer, file, part, start, total, progress)


def _pour(
    answer: Any,
    file: IO[bytes],
    part: Path,
    done: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    if progress:
        progress(done, total)
    while chunk := answer.read(_CHUNK):
        with _disk(part):
            file.write(chunk)
        done += len(chunk)
        if progress:
            progress(done, total)
    with _disk(part):
        file.flush()
        os.fsync(file.fileno())
    # http.client does not raise when a body read in pieces ends early.
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke at {done:,} of {total:,} bytes")


def _write_note(note: Path, url: str, headers: Any) -> None:
    """Remember which file ``.part`` belongs to; without a strong validator it can't be resumed."""
    etag = headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    note.write_text(json.dumps({"url": url, "validator": strong}))


def _noted(note: Path, url: str) -> str | None:
    try:
        noted = json.loads(note.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(noted, dict) or noted.get("url") != url:
        return None
    validator = noted.get("validator")
    return validator if isinstance(validator, str) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Hold ``part`` against other processes; where files can't be locked, the check at the end
    still throws away what two writers made of it."""
    with _disk(part):
        file = part.open("rb")
    with file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(
                    f"{part} is being written by another download.", "Wait until that has ended."
                ) from error
        try:
            yield
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Tells trouble with the disk from trouble with the network: both are OSError."""
    try:
        yield
    except OSError as error:
        raise LocalError(
            f"{path} can't be written: {error.strerror or error}.",
            "Choose another data folder with VIZINHO_DATA, or make room.",
        ) from error


def _unknown_host(error: Exception) -> bool:
    reason = getattr(error, "reason", error)
    return isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
