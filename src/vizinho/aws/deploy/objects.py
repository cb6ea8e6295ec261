"""Many objects of a bucket at once: list, put, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from vizinho.aws.deploy.account import WORKERS, Account
from vizinho.aws.deploy.mishaps import code_of
from vizinho.errors import DeployError
from vizinho.progress import Progress

T = TypeVar("T")
R = TypeVar("R")
_AT_ONCE = 1000


def listing(account: Account, bucket: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Key and size in bytes of every object under ``prefix``; nothing if there is no bucket."""
    pages = account.client("s3").get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"], found["Size"]
    except account.client("s3").exceptions.NoSuchBucket:
        return


def exists(account: Account, bucket: str, key: str) -> bool:
    """Whether there is an object ``key``."""
    return etag(account, bucket, key) is not None


def etag(account: Account, bucket: str, key: str) -> str | None:
    """The object's ETag without its quotes; None where there is no such object."""
    s3 = account.client("s3")
    try:
        found = s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError as error:
        if code_of(error) in ("404", "NoSuchKey", "NotFound", "NoSuchBucket"):
            return None
        raise
    return str(found["ETag"]).strip('"')


def delete(
    account: Account, bucket: str, keys: Sequence[str], progress: Progress | None = None
) -> None:
    """Remove objects, a thousand a request. Raises DeployError for those that stay."""
    s3 = account.client("s3")
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        asked = {"Objects": [{"Key": key} for key in some], "Quiet": True}
        answer = s3.delete_objects(Bucket=bucket, Delete=asked)
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise DeployError(
                f"s3://{bucket}/{first['Key']} can't be removed: {first.get('Message')}",
                "Check for a permission s3:DeleteObject, then run it again.",
            )
        if progress is not None:
            progress(min(start + _AT_ONCE, len(keys)), len(keys))


def abandon_uploads(account: Account, bucket: str, prefixes: tuple[str, ...]) -> int:
    """Give up uploads in parts that a killed run began; their parts are paid for, yet no listing
    shows them. To be called by the holder of the lock only. Returns how many there were."""
    s3, count = account.client("s3"), 0
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for found in page.get("Uploads", ()):
            if found["Key"].startswith(prefixes):
                s3.abort_multipart_upload(
                    Bucket=bucket, Key=found["Key"], UploadId=found["UploadId"]
                )
                count += 1
    return count


def upload_file(
    account: Account,
    bucket: str,
    key: str,
    path: Path,
    *,
    media_type: str = "application/octet-stream",
    sent: Callable[[int], None] | None = None,
) -> None:
    """Put a file of any size, large ones in parallel parts; ``sent`` hears bytes as they go."""
    account.client("s3").upload_file(
        str(path), bucket, key, ExtraArgs={"ContentType": media_type}, Callback=sent
    )


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``work`` on every item by `WORKERS` threads, in no order; few items are held at a time.

    The first error ends it: what has begun is finished, the rest is left, the error is raised.
    """
    rest = iter(items)
    with ThreadPoolExecutor(WORKERS) as pool:
        running: set[Future[Any]] = {pool.submit(work, item) for item in islice(rest, 2 * WORKERS)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, item) for item in islice(rest, len(done))}
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()
