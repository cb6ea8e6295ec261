"""What a deployment would do, found out by looking only."""

from __future__ import annotations

from vizinho.aws.deploy import app as amplify
from vizinho.aws.deploy import bucket as buckets
from vizinho.aws.deploy import container, record, stack
from vizinho.aws.deploy import pictures as images
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bill import estimate_for
from vizinho.aws.deploy.cloud_gallery import content_digest
from vizinho.aws.deploy.mishaps import told
from vizinho.aws.deploy.options import DeployOptions
from vizinho.aws.deploy.results import Planned
from vizinho.aws.deploy.run import open_gallery

_PACKAGE_BYTES = 50_000_000


def plan(options: DeployOptions) -> Planned:
    """What `deploy` would do with these options, and what it would cost; changes nothing.

    Raises DeployError, GalleryError.
    """
    with open_gallery(options.gallery) as gallery, told():
        account = Account(options.region)
        with told(account):
            names = account.names(options.name)
            container.require(options)
            standing = buckets.find(account, names)
            there = standing != "absent"
            last = record.read(account, names.bucket) if there else record.Record()
            found = images.compare(account, names.bucket, gallery) if there else None
            made, app = stack.find(account, names), amplify.find(account, names)
            count = len(found.todo) if found else len({row.hash for row in images.rows(gallery)})
            kept = len(found.wanted) - count if found else 0
            same = last.content == content_digest(gallery)
            size = _bytes_on_disk(options)
            readable = "anyone may read pictures" if options.public else "private"
            page = "update if changed" if app else "create"
            return Planned(
                name=names.name,
                account=names.account,
                region=names.region,
                bucket=names.bucket,
                steps={
                    "bucket": f"{'use' if there else 'create'} {names.bucket}, {readable}",
                    "pictures": f"upload {count:,}, keep {kept:,}",
                    "gallery": "unchanged" if same else f"pack and upload {gallery.count:,} rows",
                    "package": f"{options.package}, Python {options.python}, "
                    f"{options.architecture}: build, upload if changed",
                    "app": "none"
                    if not options.page
                    else f"{'use' if app else 'create'} {names.app}",
                    "function": f"{'update' if made else 'create'} stack {names.stack}: "
                    f"{options.memory} MB, {_api(options)}, logs kept {options.keep_logs} days",
                    "page": page if options.page else "none",
                    "answer": "ask with a picture of the gallery, follow its link",
                },
                costs=estimate_for(
                    options,
                    names.region,
                    images=gallery.count,
                    images_bytes=size,
                    gallery_bytes=4 * gallery.info["dimension"] * gallery.count,
                    package_bytes=_PACKAGE_BYTES,
                ),
            )


def _api(options: DeployOptions) -> str:
    return "function URL" if options.api == "url" else "HTTP API"


def _bytes_on_disk(options: DeployOptions) -> int:
    """Bytes of the gallery's pictures: the copies in it, else of the folder it mirrors."""
    from vizinho.gallery import GalleryView, layout
    from vizinho.images import is_image_name

    total = 0
    with GalleryView.open(options.gallery) as gallery:
        places = [gallery.path / layout.IMAGES, gallery.folder]
    for place, names_matter in zip(places, (False, True), strict=True):
        if place is not None and place.is_dir():
            for path in place.rglob("*"):
                if path.is_file() and (not names_matter or is_image_name(path)):
                    total += path.stat().st_size
    return total
