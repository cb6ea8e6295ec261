"""Real disks that are small, full or read-only: mounted for one test, and gone after it.

To mount takes root, and in a container more than that. Where it can't be done the test says that it
is skipped; mark it ``mounts``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size at ``place``, which is made."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """The folder ``place`` as it is on a disk that can't be written."""
    _mount("--bind", str(place), str(place))
    try:
        _mount("-o", "remount,bind,ro", str(place))
        yield
    finally:
        _unmount(place)


def fill(disk: Path) -> Path:
    """Take all the room that ``disk`` has left; returns the file that has it."""
    file = disk / "filling"
    with file.open("ab", buffering=0) as stream:
        for size in (65536, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    return file


def _mount(*options: str) -> None:
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip() or os.getuid()}")


def _unmount(place: Path) -> None:
    # Lazily, so that a process which still has a file open there can't keep it from going.
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=True)
