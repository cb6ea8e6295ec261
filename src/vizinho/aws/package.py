"""The function as a zip file: the handler, the libraries it imports, and a gallery if it fits.

The same inputs give the same bytes, so that a deployment knows by the digest whether anything
changed; what was built once is kept in a cache and costs nothing the second time.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vizinho.aws import package_parts as parts
from vizinho.aws.package_wheels import (
    RULES,
    Architecture,
    Target,
    compile_folder,
    disk_errors,
    last_line,
    libraries,
    requirements,
    workshop,
)
from vizinho.aws.package_zip import digest_of, sizes, write_zip
from vizinho.errors import DeployError
from vizinho.progress import Progress

__all__ = ["GALLERY", "LIMIT", "Architecture", "Package", "Target", "build_zip", "smoke_test"]

# Lambda's own limit for a function and its layers, unpacked.
LIMIT = 250 * 1024 * 1024
GALLERY = "gallery.vizinho"
_KEPT = 4


@dataclass(frozen=True)
class Package:
    """A function's code. ``digest`` is SHA-256 (hex) of the zip file; ``parts`` says how many of
    the unpacked bytes are whose; ``compiled`` is False where no Python of the target's version was
    at hand, and each cold start compiles what it imports."""

    path: Path
    digest: str
    zipped_bytes: int
    unzipped_bytes: int
    parts: dict[str, int]
    compiled: bool


def build_zip(
    gallery: Path | None, target: Target, cache: Path, progress: Progress | None = None
) -> Package:
    """Build the function's package, or find it in ``cache``.

    Args:
        gallery: a packed gallery to put in, as ``gallery.vizinho``; None leaves it outside.
        target: where it will run.
        cache: folder that keeps packages and libraries from one build to the next.
        progress: hears (bytes packed, bytes in all); (0, None) while libraries are fetched.

    Raises DeployError: something can't be fetched or written, the package is larger than Lambda
    takes, or it can't be imported (tried where a Python of the target is on this machine).
    """
    shelf = cache / "packages"
    key = _key(gallery, target)
    file, about = shelf / f"{key}.zip", shelf / f"{key}.json"
    kept = _kept(file, about)
    if kept is not None:
        return kept
    if progress is not None:
        progress(0, None)
    folder = libraries(target, cache)
    compiler = target.compiler()
    with disk_errors(cache), workshop(shelf) as work:
        code = work / "code"
        for module in parts.modules():
            (code / module).parent.mkdir(parents=True, exist_ok=True)
            (code / module).write_bytes((parts.SOURCES / module).read_bytes())
        compile_folder(code, compiler)
        entries = contents(folder, code, gallery)
        unzipped = _fits(entries)
        write_zip(work / "package.zip", entries, progress)
        runner = target.runner()
        if runner is not None:
            with TemporaryDirectory(dir=work) as unpacked:
                with zipfile.ZipFile(work / "package.zip") as archive:
                    archive.extractall(unpacked)
                smoke_test(Path(unpacked), runner)
        package = Package(
            file,
            digest_of(work / "package.zip"),
            (work / "package.zip").stat().st_size,
            unzipped,
            sizes(entries),
            compiler is not None,
        )
        text = json.dumps({**asdict(package), "path": file.name})
        (work / "about.json").write_text(text, encoding="utf-8")
        # The description comes last: without it a zip file is taken for unfinished.
        (work / "package.zip").rename(file)
        (work / "about.json").rename(about)
        _forget(shelf, file)
    return package


def contents(folder: Path, code: Path, gallery: Path | None) -> dict[str, Path]:
    """Name in the package to file: libraries, Vizinho's modules, the gallery."""
    entries = {
        path.relative_to(root).as_posix(): path
        for root in (folder, code)
        for path in root.rglob("*")
        if path.is_file()
    }
    if gallery is not None:
        for inside in parts.gallery_files(gallery):
            entries[f"{GALLERY}/{inside.as_posix()}"] = gallery / inside
    return entries


def smoke_test(folder: Path, python: str = sys.executable) -> None:
    """Run the package in ``folder`` with nothing else to import from, its gallery if it has one.

    Raises DeployError with the reason.
    """
    main = "import runpy, sys; sys.path[:0] = [sys.argv[1]]; "
    main += "runpy.run_module(sys.argv[2], run_name='__main__')"
    command = [python, "-I", "-S", "-c", main, str(folder), parts.SMOKE]
    # Nothing of the caller's environment: what works here must not rest on it.
    told = {"VIZINHO_GALLERY": GALLERY}
    done = subprocess.run(command, env=told, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(
            f"The function's package doesn't work: {last_line(done.stderr)}",
            "A library of another version may be the reason, or a damaged gallery.",
        )


def _key(gallery: Path | None, target: Target) -> str:
    """A name for everything that decides the package's bytes."""
    inputs = hashlib.sha256()
    compiler = target.compiler()
    about = [RULES, requirements(), asdict(target), target.glibc, compiler and sys.version]
    inputs.update(json.dumps(about).encode())
    files = [(str(module), parts.SOURCES / module) for module in parts.modules()]
    if gallery is not None:
        files += [(f"{GALLERY}/{f}", gallery / f) for f in parts.gallery_files(gallery)]
    try:
        for name, path in files:
            inputs.update(f"\0{name}\0{digest_of(path)}".encode())
    except OSError as error:
        raise DeployError(f"{error.filename} can't be read: {error.strerror}.") from error
    return inputs.hexdigest()[:32]


def _kept(file: Path, about: Path) -> Package | None:
    try:
        package = Package(**{**json.loads(about.read_text(encoding="utf-8")), "path": file})
        whole = file.stat().st_size == package.zipped_bytes
    except (OSError, ValueError, TypeError):
        return None
    if not whole:
        return None
    file.touch()
    return package


def _fits(entries: Mapping[str, Path]) -> int:
    by_part = sizes(entries)
    unzipped = sum(by_part.values())
    if unzipped > LIMIT:
        shown = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in by_part.items())
        raise DeployError(
            f"The package has {unzipped / 1e6:.0f} MB unpacked, {unzipped - LIMIT:,} bytes more "
            f"than Lambda takes ({LIMIT / 1e6:.0f} MB): {shown}.",
            "Leave the gallery in the bucket, or deploy with --package image.",
        )
    return unzipped


def _forget(shelf: Path, newest: Path) -> None:
    """Keep only the last few packages; each has some 40 MB."""
    old = sorted(shelf.glob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in old[_KEPT:]:
        if path != newest:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
