"""The way to a bucket: where it is, who asks, and its errors in words.

Credentials are found by the AWS SDK inside pyarrow: the environment, the files of ~/.aws, a role of
the machine. A bucket that refuses them, or that is asked without any, is tried once as anybody.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vizinho.errors import SourceError, UnreadableImage
from vizinho.settings import load_s3

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

SCHEME = "s3://"
_DEFAULT_REGION = "us-east-1"
_CONNECT_SECONDS = 5
_REQUEST_SECONDS = 30
_ATTEMPTS = 4
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_NETWORK = ("NETWORK_CONNECTION", "Timeout", "timed out", "SLOW_DOWN", "SERVICE_UNAVAILABLE")
_REFUSED = ("ACCESS_DENIED", "HTTP status 403", "Forbidden")
_CREDENTIALS = (
    "EXPIRED_TOKEN",
    "ExpiredToken",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
)
_turn = threading.Lock()


@dataclass(frozen=True)
class Way:
    """How a bucket is reached; travels to other machines, which have credentials of their own.

    ``endpoint``: where S3 is not AWS's own, else None. ``anonymous``: ask as anybody.
    """

    bucket: str
    region: str
    endpoint: str | None = None
    anonymous: bool = False


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key (or prefix, without slashes around it) of ``s3://bucket/key``.

    Raises SourceError for what is no such address.
    """
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise SourceError(
            f"{url!r} is no address of a bucket.", "It looks like s3://BUCKET/PREFIX."
        )
    return bucket, key


def find_way(bucket: str) -> Way:
    """How ``bucket`` is reached from here; asked of it once per process.

    Raises SourceError when there is no such bucket, no network, or no right to list it.
    """
    with _turn:
        return _found(bucket, load_s3())


def connect(way: Way) -> S3FileSystem:
    """A connection, shared by all threads of a process."""
    with _turn:
        return _connected(way)


@functools.lru_cache(maxsize=64)
def _connected(way: Way) -> S3FileSystem:
    from pyarrow import fs

    return fs.S3FileSystem(
        region=way.region,
        endpoint_override=way.endpoint,
        anonymous=way.anonymous,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


@functools.lru_cache(maxsize=64)
def _found(bucket: str, settings: tuple[str | None, str | None]) -> Way:
    from pyarrow import fs

    region, endpoint = settings
    address = f"{SCHEME}{bucket}"
    with explained(address):
        if endpoint is None:
            region = fs.resolve_s3_region(bucket)
        way = Way(bucket, region or _DEFAULT_REGION, endpoint)
        try:
            info = _connected(way).get_file_info(bucket)
        except OSError as error:
            if not _any_of(error, _REFUSED + _CREDENTIALS):
                raise
            anybody = Way(bucket, way.region, endpoint, anonymous=True)
            try:
                info = _connected(anybody).get_file_info(bucket)
            except OSError:
                # Listing may be refused where single pictures are not.
                return way
            way = anybody
    if info.type == fs.FileType.NotFound:
        raise SourceError(f"There is no bucket {bucket!r}.", "Check its name.")
    return way


@contextmanager
def explained(what: str, *, picture: bool = False) -> Iterator[None]:
    """Turns pyarrow's errors into SourceError, or into UnreadableImage where only this one
    ``picture`` can't be had."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        gone = isinstance(error, FileNotFoundError) or _any_of(error, ("NO_SUCH_KEY",))
        if picture and gone:
            raise UnreadableImage(f"{what} is not there any more.") from error
        if _any_of(error, _CREDENTIALS):
            raise SourceError(
                f"{what}: the credentials are not accepted.", "Renew them."
            ) from error
        if _any_of(error, _REFUSED):
            if picture:
                raise UnreadableImage(f"{what} may not be read.", "Allow s3:GetObject.") from error
            hint = "Check the credentials: they need s3:ListBucket and s3:GetObject."
            raise SourceError(f"Access to {what} is denied.", hint) from error
        if _any_of(error, ("NO_SUCH_BUCKET", "not found")):
            raise SourceError(f"There is no bucket for {what}.", "Check its name.") from error
        if _any_of(error, _NO_NETWORK):
            endpoint = load_s3().endpoint
            where = endpoint or "AWS"
            raise SourceError(
                f"{what} can't be reached: {where} does not answer.",
                "Check the network" + (", and AWS_ENDPOINT_URL." if endpoint else "."),
            ) from error
        if gone:
            raise SourceError(f"There is nothing at {what}.", "Check the name.") from error
        raise SourceError(f"{what} can't be read: {_short(error)}.") from error


def _any_of(error: BaseException, marks: tuple[str, ...]) -> bool:
    text = str(error)
    return any(mark in text for mark in marks)


def _short(error: BaseException) -> str:
    return str(error).partition(" (Request ID")[0].strip().rstrip(".")[:300]
