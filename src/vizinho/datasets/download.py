"""CIFAR-10 from the net: the parquet files at Hugging Face, else the archive at Toronto.

A parquet file is right when its SHA-256 is the published one, or else when its *content digest*
is: the pictures and class names of CIFAR-10 in any order and encoding, so that a mirror or a
re-encoded copy passes and anything else does not. Toronto's archive is checked by the MD5 that its
page publishes (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vizinho.datasets.base import LabelledImages
from vizinho.datasets.cifar import KNOWN, load_cifar
from vizinho.datasets.parquet import load_parquet
from vizinho.datasets.transfer import PATIENT, LocalError, Patience, fetch_file, remote_size
from vizinho.errors import DatasetError, DownloadError
from vizinho.preprocess import PreprocessSpec
from vizinho.progress import Progress


@dataclass(frozen=True)
class Part:
    """One split: its file at Hugging Face, and what it must hold."""

    file: str
    pictures: int
    sha256: str
    digest: str


_CIFAR10_PARTS = {
    "train": Part(
        "train-00000-of-00001.parquet",
        50_000,
        sha256="8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883",
        digest="d1c1e77ff9a329be6eee2ebf1c338f9af6159815b25e2901bc85f2216ee78a86",
    ),
    "test": Part(
        "test-00000-of-00001.parquet",
        10_000,
        sha256="841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de",
        digest="d557cea74e04348d9cf66f5ae1eb2848f106ae56bfc44cc3e620dc29d97d10aa",
    ),
}


@dataclass(frozen=True)
class Places:
    """Where CIFAR-10 is fetched from, and how it is recognised."""

    parquet_url: str = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"
    archive_url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    archive_md5: str = "c58f30108f718f92721af3d95e74349a"
    parts: dict[str, Part] = field(default_factory=lambda: dict(_CIFAR10_PARTS))


CIFAR10 = Places()


def fetch_cifar10(
    data_dir: Path,
    progress: Progress | None = None,
    *,
    places: Places = CIFAR10,
    patience: Patience = PATIENT,
) -> Path:
    """Make sure that CIFAR-10 is in ``data_dir``; the folder of its files is returned.

    Nothing is fetched when both splits are there, in any form `load_dataset` reads. An interrupted
    download goes on where it stopped. ``progress`` counts bytes of the source being tried.

    Raises `DownloadError`, which says how to put the files there by hand.
    """
    root = data_dir / "cifar10"
    missing = [split for split in places.parts if not _is_there(data_dir, split, places)]
    if not missing:
        return _home(data_dir)
    try:
        _fetch_parquet(root, missing, progress, places, patience)
        return root
    except LocalError:
        raise
    except DownloadError as error:
        first = error
    try:
        return _fetch_archive(data_dir, progress, places, patience)
    except LocalError:
        raise
    except DownloadError as error:
        names = " and ".join(part.file for part in places.parts.values())
        raise DownloadError(
            f"CIFAR-10 could not be downloaded. {first.message} {error.message}",
            f"Try again when you are online (it resumes), or put {names} into {root}, or unpack "
            f"cifar-10-python.tar.gz into {data_dir}.",
        ) from error


def content_digest(images: LabelledImages) -> str:
    """SHA-256 over what a set of 32x32 pictures shows, whatever its order or encoding.

    Each picture gives SHA-256 of its class name, a zero byte and its RGB pixels, row by row; these
    are sorted and hashed together. 64 hexadecimal digits.
    """
    pixels, kept = images.pixels(PreprocessSpec(size=32))
    rows = [
        hashlib.sha256(images.classes[images.labels[i]].encode() + b"\0" + picture.tobytes())
        for i, picture in zip(kept, pixels, strict=True)
    ]
    return hashlib.sha256(b"".join(sorted(row.digest() for row in rows))).hexdigest()


def _is_there(data_dir: Path, split: str, places: Places) -> bool:
    try:
        return len(load_cifar("cifar10", split, data_dir)) == places.parts[split].pictures
    except DatasetError:
        return False


def _home(data_dir: Path) -> Path:
    root = data_dir / "cifar10"
    return root if root.is_dir() else data_dir


def _fetch_parquet(
    root: Path, splits: list[str], progress: Progress | None, places: Places, patience: Patience
) -> None:
    urls = {split: f"{places.parquet_url}/{places.parts[split].file}" for split in splits}
    sizes = [remote_size(url, patience) for url in urls.values()] if progress else []
    total = sum(size or 0 for size in sizes) if all(sizes) else None
    done = 0
    for split, url in urls.items():
        part = places.parts[split]
        target = root / part.file
        if target.exists():
            raise LocalError(
                f"{target} is there already, but it is not CIFAR-10's {split} split.",
                "Move it away and try again.",
            )
        report = _shifted(progress, done, total)
        fetch_file(
            url, target, verify=_parquet_check(part, split), progress=report, patience=patience
        )
        done += target.stat().st_size


def _shifted(progress: Progress | None, start: int, total: int | None) -> Progress | None:
    """Progress of one file told as progress of them all."""
    if progress is None:
        return None
    return lambda done, own: progress(start + done, total)


def _parquet_check(part: Part, split: str) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        if _hash_file(path, "sha256") == part.sha256:
            return
        try:
            images = load_parquet([path], f"cifar10:{split}")
            found = content_digest(images)
        except DatasetError as error:
            raise DownloadError(f"What came as {part.file} is broken: {error.message}") from error
        if len(images) != part.pictures or found != part.digest:
            raise DownloadError(
                f"What came as {part.file} has the wrong checksum: "
                f"{len(images)} pictures with digest {found[:12]}, not "
                f"{part.pictures} with {part.digest[:12]}."
            )

    return check


def _fetch_archive(
    data_dir: Path, progress: Progress | None, places: Places, patience: Patience
) -> Path:
    archive = data_dir / PurePosixPath(places.archive_url).name

    def check(path: Path) -> None:
        if (found := _hash_file(path, "md5")) != places.archive_md5:
            raise DownloadError(
                f"What came as {archive.name} has the wrong checksum: "
                f"MD5 {found}, not {places.archive_md5}."
            )

    fetch_file(places.archive_url, archive, verify=check, progress=progress, patience=patience)
    folder = data_dir / KNOWN["cifar10"].pickles
    _unpack(archive, folder)
    archive.unlink()
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """The archive's files of CIFAR-10, and only these, into ``folder``, which appears whole."""
    known = KNOWN["cifar10"]
    wanted = {file for files in known.pickle_files.values() for file in files}
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch,
            tarfile.open(archive) as tar,
        ):
            fresh = Path(scratch) / folder.name
            fresh.mkdir()
            for member in tar:
                path = PurePosixPath(member.name)
                if path.parent.name == folder.name and path.name in {*wanted, known.pickle_meta}:
                    source = tar.extractfile(member)
                    if source is None:
                        continue
                    with source, (fresh / path.name).open("wb") as file:
                        shutil.copyfileobj(source, file)
            if missing := sorted(wanted - {path.name for path in fresh.iterdir()}):
                raise DownloadError(f"{archive} lacks {', '.join(missing)}.")
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(f"{archive} can't be unpacked: {error}.") from error
    except OSError as error:
        raise LocalError(f"{folder} can't be written: {error.strerror or error}.") from error


def _hash_file(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
