"""The packed gallery and the list of addresses, as they lie in the bucket."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import GALLERIES, URLS
from vizinho.aws.deploy.objects import etag, exists, upload_file
from vizinho.aws.deploy.pictures import Pictures, rows
from vizinho.gallery import layout
from vizinho.progress import Progress

if TYPE_CHECKING:
    from vizinho.engines import Row
    from vizinho.gallery import GalleryView
    from vizinho.gallery.pack import PackInfo


def pack_for(
    gallery: GalleryView,
    folder: Path,
    bucket: str,
    pictures: Pictures,
    progress: Progress | None = None,
) -> PackInfo:
    """Pack ``gallery`` into ``folder`` with the bucket's addresses; pictures that have no bytes and
    no address of their own are left out."""
    from vizinho.gallery.pack import pack

    source = gallery
    if pictures.positions:
        source = cast("GalleryView", _Without(gallery, pictures.positions))
    return pack(source, folder, address_in(bucket, pictures), progress=progress)


def address_in(bucket: str, pictures: Pictures) -> Callable[[Row], str]:
    """Where a row's picture is: in the bucket, or at the address it came with."""

    def address(row: Row) -> str:
        key = pictures.there.get(row.hash)
        return f"s3://{bucket}/{key}" if key else row.url

    return address


def upload_gallery(
    account: Account, bucket: str, folder: Path, digest: str, progress: Progress | None = None
) -> bool:
    """Put the packed gallery under its digest; returns False when it is there already.

    ``gallery.json`` goes last: where it is, all is.
    """
    prefix = f"{GALLERIES}{digest}/"
    if exists(account, bucket, prefix + layout.ABOUT):
        return False
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path.name == layout.ABOUT)
    total, done = sum(path.stat().st_size for path in files), 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    for path in files:
        name = path.relative_to(folder).as_posix()
        upload_file(account, bucket, prefix + name, path, sent=sent)
    return True


def upload_urls(
    account: Account, bucket: str, gallery: GalleryView, pictures: Pictures, public_at: str | None
) -> bool:
    """Write ``urls.csv``: key, label and address of every picture that is deployed; returns False
    when it says so already.

    ``public_at``: where the bucket's objects are for everybody; None in a private bucket, whose
    addresses are ``s3://`` ones.
    """
    gone = {missing.key for missing in pictures.missing}
    address = address_in(bucket, pictures)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("key", "label", "url"))
    for row in rows(gallery):
        if row.key not in gone:
            url = address(row)
            if public_at is not None:
                url = url.replace(f"s3://{bucket}/", f"{public_at}/")
            table.writerow((row.key, row.label or "", url))
    data = text.getvalue().encode()
    # S3's ETag of what was put in one piece.
    if etag(account, bucket, URLS) == hashlib.md5(data, usedforsecurity=False).hexdigest():
        return False
    account.client("s3").put_object(Bucket=bucket, Key=URLS, Body=data, ContentType="text/csv")
    return True


def content_digest(gallery: GalleryView) -> str:
    """SHA-256 (hex) over the gallery's rows and model: changes when a deployment would."""
    digest = hashlib.sha256(str(gallery.info["fingerprint"]).encode())
    for row in rows(gallery):
        line = [row.key, row.hash, row.label, row.metadata]
        digest.update(json.dumps(line, sort_keys=True).encode())
    return digest.hexdigest()


class _Without:
    """A gallery as if the rows at ``positions`` (sorted, in the order of keys) were not there."""

    def __init__(self, gallery: GalleryView, positions: list[int]) -> None:
        self._gallery = gallery
        self._gone = positions
        # How many rows stand before each gap: what a position is among those that stay.
        self._before = [position - rank for rank, position in enumerate(positions)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gallery, name)

    @property
    def count(self) -> int:
        return self._gallery.count - len(self._gone)

    def items(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        start, end = self._whole(offset), self._whole(offset + limit)
        gone = set(self._gone)
        page = self._gallery.items(start, end - start, label)
        return [row for at, row in enumerate(page, start) if at not in gone]

    def _whole(self, position: int) -> int:
        return position + bisect_right(self._before, position)
