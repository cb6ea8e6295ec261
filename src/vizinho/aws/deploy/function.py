"""The function: its package in the bucket, and what the template is told about it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import GALLERIES, PACKAGES
from vizinho.aws.deploy.objects import exists, upload_file
from vizinho.aws.deploy.options import DeployOptions, Names
from vizinho.aws.sizes import BUNDLED_BYTES, SNAPSTART_DISK_BYTES
from vizinho.errors import DeployError
from vizinho.progress import Progress

_MB = 1024 * 1024
_SCRATCH, _LARGEST_SCRATCH = SNAPSTART_DISK_BYTES // _MB, 10_240
# What the file system takes of a disk for itself, and room for other files.
_TAKEN, _SPARE = 0.05, 64
_SLOWEST = 20_000_000
_LONGEST = 900


@dataclass(frozen=True)
class Code:
    """The function's code where AWS takes it from: ``place`` is a key in the bucket (zip) or an
    image's address (image). ``bytes`` as it is stored."""

    place: str
    digest: str
    bytes: int
    uploaded: bool


def bundled(gallery_bytes: int) -> bool:
    """Whether a packed gallery of that size goes into the package rather than staying in S3."""
    return gallery_bytes <= BUNDLED_BYTES


def prepare(
    account: Account,
    names: Names,
    options: DeployOptions,
    gallery: Path | None,
    progress: Progress | None = None,
) -> Code:
    """Build the package, with the packed ``gallery`` in it if one is given, and upload it."""
    if options.package == "image":
        from vizinho.aws.deploy.container import push

        return push(account, names, options, gallery, progress)
    from vizinho.aws.package import Target, build_zip

    target = Target(python=options.python, architecture=options.architecture)
    package = build_zip(gallery, target, options.cache, progress)
    key = f"{PACKAGES}{package.digest}.zip"
    uploaded = not exists(account, names.bucket, key)
    if uploaded:
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, package.zipped_bytes)

        upload_file(
            account, names.bucket, key, package.path, media_type="application/zip", sent=sent
        )
    return Code(key, package.digest, package.zipped_bytes, uploaded)


def scratch_for(gallery_bytes: int) -> int:
    """MB of disk for a function that fetches a packed gallery of so many bytes. Raises DeployError
    when no function has that much."""
    needed = int(gallery_bytes * (1 + _TAKEN)) // _MB + 1 + _SPARE
    if needed > _LARGEST_SCRATCH:
        raise DeployError(
            f"The packed gallery has {gallery_bytes / 1e9:.1f} GB, and a function's disk at most "
            f"{_LARGEST_SCRATCH / 1024:.0f}.",
            "Split the gallery, or serve it with `vizinho serve` on a server.",
        )
    return max(_SCRATCH, needed)


def fetching_seconds(gallery_bytes: int) -> int:
    """How long a start may take to fetch a packed gallery of so many bytes from S3, supposing a
    slow `_SLOWEST` bytes a second; 0 for one in the package.

    Lambda breaks off a start after ten seconds and begins it anew within the first query, which
    the function's time limit has to allow.
    """
    return 0 if bundled(gallery_bytes) else gallery_bytes // _SLOWEST + 1


def template() -> str:
    """The SAM template's text."""
    return files("vizinho.aws").joinpath("template.yaml").read_text()


def parameters(
    names: Names,
    options: DeployOptions,
    code: Code,
    *,
    gallery_digest: str,
    gallery_bytes: int,
    cors: str,
) -> dict[str, str]:
    """The template's parameters."""
    inside = bundled(gallery_bytes)
    uri = f"s3://{names.bucket}/{GALLERIES}{gallery_digest}"
    scratch = _SCRATCH if inside else scratch_for(gallery_bytes)
    # A function that starts from a snapshot can't have a larger disk.
    snapstart = options.snapstart and scratch == _SCRATCH
    told = {
        "Deployment": names.name,
        "Bucket": names.bucket,
        "Package": options.package,
        "PackageKey": code.place if options.package == "zip" else "none",
        "ImageUri": code.place if options.package == "image" else "none",
        "Python": f"python{options.python}",
        "Architecture": options.architecture,
        "SnapStart": "PublishedVersions" if snapstart else "None",
        "Memory": str(options.memory),
        "Seconds": str(min(_LONGEST, options.timeout + fetching_seconds(gallery_bytes))),
        "Scratch": str(scratch),
        "Concurrency": str(options.concurrency),
        "Api": options.api,
        "Gallery": "gallery.vizinho" if inside else uri,
        "Links": "public" if options.public else "private",
        "LinkSeconds": str(options.link_seconds),
        "Cors": cors,
        "MaxUploadBytes": str(options.max_upload_bytes),
        "LogDays": str(options.keep_logs),
        "AlarmTopic": options.alarm_topic or "none",
    }
    whole = json.dumps([told, template()], sort_keys=True).encode()
    return {**told, "Revision": hashlib.sha256(whole).hexdigest()}
