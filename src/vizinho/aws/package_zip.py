"""A zip file whose bytes depend on nothing but what is in it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from vizinho.progress import Progress

# The first moment a zip file can name; a real one would make each build another.
_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20


def write_zip(file: Path, entries: Mapping[str, Path], progress: Progress | None = None) -> None:
    """Write ``entries`` (name in the zip to the file with its bytes) in the order of their names.

    Times and owners are fixed; everybody may read, and run what its owner may run, as Lambda's own
    user must. ``progress`` hears bytes.
    """
    total = sum(path.stat().st_size for path in entries.values())
    done = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(entries):
            path = entries[name]
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            info.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(info, "w") as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    done += len(piece)
                    if progress is not None:
                        progress(done, total)


def digest_of(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sizes(entries: Mapping[str, Path]) -> dict[str, int]:
    """Bytes of each part before packing, largest first: a part is a folder at the top.

    The shared libraries of a wheel (``numpy.libs``) count as the wheel's.
    """
    parts: dict[str, int] = {}
    for name, path in entries.items():
        top = name.split("/")[0].split("-")[0].removesuffix(".libs").removesuffix(".dist")
        top = "pillow" if top == "PIL" else top
        parts[top] = parts.get(top, 0) + path.stat().st_size
    return dict(sorted(parts.items(), key=lambda item: -item[1]))
