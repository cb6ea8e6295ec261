"""A deployment, step by step. Each step looks at what stands and does what is missing, so that a
run that was killed is simply run again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vizinho import __version__
from vizinho.aws.deploy import app as amplify
from vizinho.aws.deploy import bucket as buckets
from vizinho.aws.deploy import container, function, record, stack
from vizinho.aws.deploy import pictures as images
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.cloud_gallery import content_digest, pack_for, upload_gallery, upload_urls
from vizinho.aws.deploy.lock import Lock
from vizinho.aws.deploy.mishaps import DENIED, code_of, told
from vizinho.aws.deploy.options import DeployOptions, Names
from vizinho.aws.deploy.results import Deployed
from vizinho.aws.deploy.tidy import tidy
from vizinho.aws.deploy.trial import Trial, try_until_right, wait_until_it_answers
from vizinho.aws.deploy.watch import STEPS, Quiet, Watcher
from vizinho.errors import DeployError

if TYPE_CHECKING:
    from vizinho.gallery import GalleryView
    from vizinho.gallery.pack import PackInfo


@dataclass
class Work:
    """What the steps hand on to each other."""

    account: Account
    names: Names
    options: DeployOptions
    gallery: GalleryView
    watcher: Watcher
    last: record.Record = field(default_factory=record.Record)
    pictures: images.Pictures = field(default_factory=images.Pictures)
    outcomes: dict[str, str] = field(default_factory=dict)

    def begin(self, step: str) -> None:
        self.watcher.begin(step, STEPS[step])

    def end(self, step: str, outcome: str) -> None:
        self.outcomes[step] = outcome
        self.watcher.end(step, outcome)


def deploy(options: DeployOptions, watcher: Watcher | None = None) -> Deployed:
    """Put a gallery on AWS, or bring what stands there up to date; returns once it has answered.

    Raises DeployError, GalleryError.
    """
    with open_gallery(options.gallery) as gallery, told():
        account = Account(options.region)
        with told(account):
            work = Work(account, account.names(options.name), options, gallery, watcher or Quiet())
            return _deploy(work)


def open_gallery(path: Path) -> GalleryView:
    """The gallery to deploy. Raises GalleryError, and DeployError when it holds nothing."""
    from vizinho.gallery import GalleryView

    gallery = GalleryView.open(path)
    if gallery.count == 0:
        gallery.close()
        raise DeployError(
            f"The gallery {path} is empty.", "Put pictures in with `vizinho index FOLDER`."
        )
    return gallery


def _deploy(work: Work) -> Deployed:
    names = work.names
    work.begin("account")
    # Whatever can't be changed is found out before anything is.
    container.require(work.options)
    buckets.find(work.account, names)
    stack.find(work.account, names)
    if work.options.page:
        amplify.require(work.account)
    work.end("account", f"{names.account}, {names.region}")
    work.begin("bucket")
    made = buckets.make(work.account, names)
    with Lock(work.account, names.bucket) as lock:
        buckets.configure(work.account, names, public=work.options.public)
        work.last = record.read(work.account, names.bucket)
        readable = "anyone may read pictures" if work.options.public else "private"
        work.end("bucket", f"{'created' if made else 'stands'}, {readable}")
        _upload_pictures(work)
        lock.check()
        work.options.cache.mkdir(parents=True, exist_ok=True)
        shelf = Path(tempfile.mkdtemp(prefix="packing-", dir=work.options.cache))
        try:
            packed = _upload_gallery(work, shelf / "gallery.vizinho")
            code = _prepare_code(work, shelf / "gallery.vizinho", packed)
        finally:
            shutil.rmtree(shelf, ignore_errors=True)
        lock.check()
        page = _make_app(work)
        url, function_name = _put_stack(work, packed, code, page)
        lock.check()
        _put_page(work, page, url)
        trial = _try(work, url, packed)
        lock.check()
        work.begin("tidy")
        outcome = tidy(work.account, names, work.options, work.pictures, packed.digest, code)
        work.last.deployed = datetime.now(UTC).isoformat(timespec="seconds")
        work.last.url, work.last.version = url, __version__
        record.write(work.account, names.bucket, work.last)
        work.end("tidy", outcome)
    return Deployed(
        name=names.name,
        region=names.region,
        url=url,
        page_url=work.last.page_url or None,
        bucket=names.bucket,
        stack=names.stack,
        function=function_name,
        gallery=packed.digest,
        pictures=packed.images,
        missing=work.pictures.missing,
        steps=work.outcomes,
        trial=trial,
        costs=_costs(work, packed, code, trial),
    )


def _upload_pictures(work: Work) -> None:
    work.begin("pictures")
    found = work.pictures = images.compare(work.account, work.names.bucket, work.gallery)
    if found.strange and not work.options.replace:
        raise DeployError(
            f"The deployment {work.names.name} holds {len(found.there):,} other pictures, and none "
            f"of {work.options.gallery}.",
            "Give this gallery a --name of its own, or say --replace to put it in their place.",
        )
    images.upload(work.account, work.names.bucket, work.gallery, found, work.watcher.progress)
    for gone in found.missing[:10]:
        work.watcher.say(f"Left out: {gone.key}: {gone.reason}")
    if len(found.missing) > 10:
        work.watcher.say(f"Left out: {len(found.missing) - 10:,} more like these.")
    if len(found.missing) == work.gallery.count:
        raise DeployError(
            f"Of the {work.gallery.count:,} pictures of {work.options.gallery} not one has its "
            f"bytes here: {found.missing[0].reason}",
            "Deploy from where the pictures are, or index them again.",
        )
    there = len(found.wanted) - found.uploaded - len(found.missing) - found.linked
    outcome = f"{found.uploaded:,} uploaded" if found.uploaded else "unchanged"
    outcome += f", {there:,} were there" if there and found.uploaded else ""
    outcome += f", {found.linked:,} shown from their own address" if found.linked else ""
    outcome += f", {len(found.missing):,} left out" if found.missing else ""
    work.end("pictures", outcome)


def _upload_gallery(work: Work, folder: Path) -> PackInfo:
    work.begin("gallery")
    bucket = work.names.bucket
    packed = pack_for(work.gallery, folder, bucket, work.pictures, work.watcher.progress)
    new = upload_gallery(work.account, bucket, folder, packed.digest, work.watcher.progress)
    public_at = picture_origin(work) if work.options.public else None
    upload_urls(work.account, bucket, work.gallery, work.pictures, public_at)
    work.last.gallery, work.last.pictures = packed.digest, packed.images
    work.last.content = content_digest(work.gallery)
    work.end("gallery", f"{packed.images:,} pictures, {'uploaded' if new else 'unchanged'}")
    return packed


def _prepare_code(work: Work, packed_at: Path, packed: PackInfo) -> function.Code:
    work.begin("package")
    inside = packed_at if function.bundled(packed.bytes) else None
    code = function.prepare(work.account, work.names, work.options, inside, work.watcher.progress)
    work.last.package = code.digest
    where = "gallery inside" if inside else "gallery in S3"
    size = f"{code.bytes / 1e6:.0f} MB, " if code.bytes else ""
    work.end("package", f"{size}{where}, {'uploaded' if code.uploaded else 'unchanged'}")
    return code


def _make_app(work: Work) -> dict[str, Any] | None:
    work.begin("app")
    if not work.options.page:
        removed = _remove_app(work)
        work.last.app = work.last.page = work.last.page_url = ""
        work.end("app", "removed" if removed else "not wanted")
        return None
    page, made = amplify.make(work.account, work.names)
    work.last.page_url = amplify.address(page)
    work.end("app", "created" if made else "stands")
    return page


def _remove_app(work: Work) -> bool:
    try:
        return amplify.remove(work.account, work.names)
    except Exception as error:
        # Who wants no page may have no rights on Amplify, and then never made one.
        if code_of(error) not in DENIED or work.last.app:
            raise
        return False


def _put_stack(
    work: Work, packed: PackInfo, code: function.Code, page: dict[str, Any] | None
) -> tuple[str, str]:
    work.begin("function")
    parameters = function.parameters(
        work.names,
        work.options,
        code,
        gallery_digest=packed.digest,
        gallery_bytes=packed.bytes,
        cors=amplify.address(page) if page else "*",
    )
    outcome = stack.put(work.account, work.names, function.template(), parameters, work.watcher.say)
    standing = stack.find(work.account, work.names)
    if standing is None:
        raise DeployError(f"The stack {work.names.stack} is gone.", "Run it again.")
    told_back = stack.outputs(standing)
    work.end("function", outcome)
    return told_back["Url"].rstrip("/"), told_back["Function"]


def _put_page(work: Work, page: dict[str, Any] | None, url: str) -> None:
    work.begin("page")
    if page is None:
        work.end("page", "not wanted")
        return
    from vizinho.aws.page import build_page, page_headers

    origins = sorted({picture_origin(work), *_origins_elsewhere(work)})
    new = amplify.publish(
        work.account, page, build_page(url, origins), page_headers(url, origins), work.last
    )
    if new:
        # Kept at once: a run that is killed later need not put the same page up again.
        record.write(work.account, work.names.bucket, work.last)
    work.end("page", "uploaded" if new else "unchanged")


def _try(work: Work, url: str, packed: PackInfo) -> Trial:
    work.begin("answer")
    wait_until_it_answers(url, function.fetching_seconds(packed.bytes))
    missing = {gone.key for gone in work.pictures.missing}
    trial = try_until_right(url, work.gallery, missing)
    work.end("answer", f"{trial.key} finds itself at {trial.distance:.2f}")
    return trial


def picture_origin(work: Work) -> str:
    """Where a browser fetches the bucket's pictures: the bucket's own host on AWS, the endpoint's
    where another is set."""
    endpoint = urlsplit(work.account.endpoint)
    if (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        tail = "amazonaws.com.cn" if (endpoint.hostname or "").endswith(".cn") else "amazonaws.com"
        return f"https://{work.names.bucket}.s3.{work.names.region}.{tail}"
    return f"{endpoint.scheme}://{endpoint.netloc}"


def _origins_elsewhere(work: Work) -> set[str]:
    """Hosts of pictures that are shown from an address of their own."""
    if not work.pictures.linked:
        return set()
    there = work.pictures.there
    found = {urlsplit(row.url) for row in images.rows(work.gallery) if row.hash not in there}
    return {f"{url.scheme}://{url.netloc}" for url in found if url.scheme in ("http", "https")}


def _costs(work: Work, packed: PackInfo, code: function.Code, trial: Trial) -> dict[str, Any]:
    from vizinho.aws.deploy.bill import estimate_for

    return estimate_for(
        work.options,
        work.names.region,
        images=packed.images,
        images_bytes=work.pictures.bytes,
        gallery_bytes=packed.bytes,
        package_bytes=code.bytes,
        seconds=trial.worked,
    )
