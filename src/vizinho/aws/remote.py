"""A packed gallery in S3, fetched to a local folder: how a function gets one it doesn't carry.

Large files come in parts, several at a time; each part is checked against the gallery's description
as it arrives, and asked for again where it was cut short. The folder appears at once, when all of
it is there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from vizinho.engines.packed import PackedEngine
from vizinho.errors import (
    DeployError,
    GalleryDamaged,
    GalleryError,
    GalleryExists,
    GalleryNotFound,
    VizinhoError,
)
from vizinho.gallery import layout
from vizinho.progress import Progress

_AT_ONCE = 8
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_AGAIN = "Deploy the gallery again."
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REASONS = {
    "AccessDenied": "Allow s3:GetObject on it to this role or user.",
    "403": "Allow s3:GetObject on it to this role or user.",
    "InvalidAccessKeyId": "Check the credentials.",
    "SignatureDoesNotMatch": "Check the credentials.",
    "ExpiredToken": "Get new credentials.",
    "PermanentRedirect": "Set AWS_REGION to the region of the bucket.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the region of the bucket.",
}
_NOT_THERE = {"NoSuchKey", "NoSuchBucket", "404"}


@dataclass(frozen=True)
class _Part:
    key: str
    file: Path
    start: int
    size: int
    sha256: str


def fetch_gallery(
    uri: str, folder: str | Path, *, client: Any = None, progress: Progress | None = None
) -> Path:
    """Copy the packed gallery at ``uri`` ("s3://BUCKET/PREFIX") into ``folder``; returns its path.

    The path is ``folder``/NAME.vizinho, NAME the last part of the prefix. A gallery that is there
    already is taken as it is: without a question where NAME is its digest, otherwise if the digest
    in the bucket is still the same. A process killed meanwhile leaves nothing that looks like a
    gallery. ``client`` is botocore's for S3, by default from the environment's credentials.
    ``progress`` hears (bytes done, all).

    Raises GalleryNotFound, GalleryDamaged, GalleryError for a full disk, DeployError for S3.
    """
    bucket, prefix = _parsed(uri)
    name = prefix.rpartition("/")[2]
    target = Path(folder) / f"{name}.vizinho"
    here = _digest_of(target)
    if here is not None and here == name:
        return target
    client = client or _client()
    description = _read(client, uri, bucket, f"{prefix}/{layout.ABOUT}")
    if here is not None and (target / layout.ABOUT).read_bytes() == description:
        return target

    def fill(fresh: Path) -> None:
        (fresh / layout.ABOUT).write_bytes(description)
        about = _checked(fresh, uri, name)
        try:
            parts = list(_parts(fresh, about, prefix))
        except (KeyError, TypeError, ValueError) as error:
            raise GalleryDamaged(f"{uri} has a damaged description: {error}.", _AGAIN) from error
        _require_room(fresh, uri, sum(part.size for part in parts))
        _fetch(client, uri, bucket, parts, progress)

    try:
        layout.build(target, fill, overwrite=True)
    except GalleryExists:
        # Another process has fetched it just now.
        if _digest_of(target) is None:
            raise
    return target


def _parsed(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or not prefix:
        raise GalleryError(
            f"{uri!r} is no place of a gallery in S3.",
            "It looks like s3://BUCKET/galleries/DIGEST.",
        )
    return parts.netloc, prefix


def _digest_of(path: Path) -> str | None:
    """The digest of a packed gallery whose files are there in full, else None."""
    try:
        about = layout.read_about(path)
        for name, file in (about.files or {}).items():
            if (path / name).stat().st_size != file["bytes"]:
                return None
    except (GalleryError, OSError):
        return None
    return about.digest


def _checked(folder: Path, uri: str, name: str) -> layout.About:
    """The fetched description, if it is one of a packed gallery whose files stay inside it."""
    about = layout.read_about(folder)
    if about.engine != PackedEngine.name or not about.files or about.digest is None:
        raise GalleryDamaged(f"{uri} is not a packed gallery.", _AGAIN)
    if _DIGEST.fullmatch(name) and about.digest != name:
        raise GalleryDamaged(
            f"{uri} holds another gallery than its name says ({about.digest[:12]}).",
            _AGAIN,
        )
    for file in about.files:
        place = PurePosixPath(file)
        if place.is_absolute() or ".." in place.parts or "\\" in file:
            raise GalleryDamaged(f"{uri} names a file outside it: {file!r}.", _AGAIN)
    return about


def _parts(folder: Path, about: layout.About, prefix: str) -> Iterator[_Part]:
    for name, file in (about.files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as handle:
            handle.truncate(file["bytes"])
        starts = range(0, file["bytes"], layout.PART_BYTES)
        for start, sha256 in zip(starts, file["sha256"], strict=True):
            size = min(layout.PART_BYTES, file["bytes"] - start)
            yield _Part(f"{prefix}/{name}", path, start, size, sha256)


def _require_room(folder: Path, uri: str, needed: int) -> None:
    # Files made by truncate take no room yet.
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GalleryError(
            f"{uri} needs {needed / 2**20:.0f} MiB, and {folder.parent} has {free / 2**20:.0f}.",
            "Give the function more ephemeral storage.",
        )


def _fetch(
    client: Any, uri: str, bucket: str, parts: list[_Part], progress: Progress | None
) -> None:
    total = sum(part.size for part in parts)
    done = 0
    with ThreadPoolExecutor(_AT_ONCE, "fetch") as pool:
        running = {pool.submit(_fetch_part, client, uri, bucket, part): part for part in parts}
        try:
            for future in as_completed(running):
                future.result()
                done += running[future].size
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_part(client: Any, uri: str, bucket: str, part: _Part) -> None:
    wanted = f"bytes={part.start}-{part.start + part.size - 1}"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        data = _read(client, uri, bucket, part.key, last=attempt == _ATTEMPTS - 1, Range=wanted)
        if len(data) == part.size and hashlib.sha256(data).hexdigest() == part.sha256:
            with part.file.open("r+b") as file:
                os.pwrite(file.fileno(), data, part.start)
            return
    raise GalleryDamaged(
        f"s3://{bucket}/{part.key} is not the file that was packed: its bytes from {part.start} on "
        "differ.",
        _AGAIN,
    )


def _read(
    client: Any, uri: str, bucket: str, key: str, *, last: bool = True, **options: str
) -> bytes:
    """An object's bytes; b"" where its transfer broke off and it was not the ``last`` attempt."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        body: bytes = client.get_object(Bucket=bucket, Key=key, **options)["Body"].read()
        return body
    except ClientError as error:
        raise _refused(error.response.get("Error", {}), uri, bucket, key) from error
    except NoCredentialsError as error:
        raise DeployError(
            f"There are no AWS credentials to read {uri} with.", "Run `aws configure`."
        ) from error
    except (BotoCoreError, OSError) as error:
        # Requests are retried by botocore; what is cut short on the way down is not.
        if not last:
            return b""
        raise DeployError(
            f"s3://{bucket}/{key} can't be fetched: {error}", "Check the network."
        ) from error


def _refused(answer: dict[str, str], uri: str, bucket: str, key: str) -> VizinhoError:
    code = answer.get("Code", "")
    if code in _NOT_THERE:
        # What the description names and the bucket lacks was removed, or never uploaded.
        kind = GalleryNotFound if key.endswith(f"/{layout.ABOUT}") else GalleryDamaged
        return kind(f"{uri} has no {key.rpartition('/')[2]} ({code}).", _AGAIN)
    why = f"{code or 'no reason given'} {answer.get('Message', '')}".rstrip(". ")
    return DeployError(f"S3 refuses s3://{bucket}/{key}: {why}.", _REASONS.get(code, ""))


def _client() -> Any:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    # botocore alone: boto3 around it would cost a cold start another tenth of a second.
    session = get_session()
    options = {
        "max_pool_connections": _AT_ONCE,
        "connect_timeout": 5,
        "read_timeout": 10,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
    }
    try:
        client = session.create_client("s3", config=Config(**options))
        if not str(urlsplit(client.meta.endpoint_url).hostname).endswith(
            (".amazonaws.com", ".amazonaws.com.cn")
        ):
            # Another S3 rarely has a host name for each bucket.
            options["s3"] = {"addressing_style": "path"}
            client = session.create_client("s3", config=Config(**options))
    except BotoCoreError as error:
        raise DeployError(f"There is no way to S3: {error}", "Set AWS_REGION.") from error
    return client
