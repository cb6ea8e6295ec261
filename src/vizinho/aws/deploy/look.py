"""What stands of a deployment, found out by looking only."""

from __future__ import annotations

from pathlib import Path

from vizinho.aws.deploy import app as amplify
from vizinho.aws.deploy import bucket as buckets
from vizinho.aws.deploy import lock as locks
from vizinho.aws.deploy import record, stack
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.cloud_gallery import content_digest
from vizinho.aws.deploy.mishaps import told
from vizinho.aws.deploy.objects import exists, listing
from vizinho.aws.deploy.options import Names, check_name
from vizinho.aws.deploy.remove import left_behind
from vizinho.aws.deploy.results import Status


def status(name: str, *, region: str | None = None, gallery: Path | None = None) -> Status:
    """What stands of deployment ``name``, part by part; with ``gallery``, whether it has changed
    since it was deployed. Raises DeployError, GalleryError."""
    check_name(name)
    with told():
        account = Account(region)
        with told(account):
            return _look(account, account.names(name), gallery)


def _look(account: Account, names: Names, gallery: Path | None) -> Status:
    parts: dict[str, str] = {}
    standing = buckets.find(account, names)
    last = record.Record()
    if standing == "absent":
        parts["bucket"] = "none"
    else:
        last = record.read(account, names.bucket)
        parts |= _bucket_parts(account, names, standing, last)
    made = stack.find(account, names)
    told_back = stack.outputs(made) if made else {}
    parts["stack"] = f"{names.stack}: {made['StackStatus']}" if made else "none"
    parts["function"] = told_back.get("Function", "none")
    if "LogGroup" in told_back:
        parts["logs"] = told_back["LogGroup"]
    parts["url"] = told_back.get("Url", "none")
    app = amplify.find(account, names)
    page_url = amplify.address(app) if app else None
    parts["page"] = page_url or "none"
    if app and last.app != app["appId"]:
        parts["page"] += " (nothing uploaded yet)"
    stands = standing != "absent" or made is not None or app is not None
    if stands:
        parts["last deployed"] = last.deployed or "never to the end: run the deployment again"
    if standing == "ours" and made is None and app is None:
        others = left_behind(account, names)
        if others is not None:
            parts["last deployed"] = f"taken down; the bucket is left because it holds {others}"
            gallery = None
    if standing != "absent" and (found := locks.holder(account.client("s3"), names.bucket)):
        who, age, _ = found
        at_it = f"{who.get('owner', 'somebody')} since {who.get('since', '?')}"
        parts["being deployed"] = at_it if age < locks.EXPIRES else f"{at_it}, given up"
    return Status(
        name=names.name,
        account=names.account,
        region=names.region,
        stands=stands,
        parts=parts,
        url=told_back.get("Url", "").rstrip("/") or None,
        page_url=page_url,
        drift=_drift(gallery, last) if gallery is not None and stands else None,
    )


def _bucket_parts(
    account: Account, names: Names, standing: str, last: record.Record
) -> dict[str, str]:
    open_to = "anyone may read pictures" if buckets.is_public(account, names) else "private"
    count = size = 0
    for _, bytes_ in listing(account, names.bucket, buckets.IMAGES):
        count += 1
        size += bytes_
    parts = {
        "bucket": f"{names.bucket}, {open_to}" + (", half-made" if standing != "ours" else ""),
        "pictures": f"{count:,} ({size / 1e6:,.1f} MB)",
        "gallery": f"{last.gallery[:12]}, {last.pictures:,} pictures" if last.gallery else "none",
        "package": last.package[:12] or "none",
    }
    if last.deployed and last.gallery:
        prefix = f"{buckets.GALLERIES}{last.gallery}/"
        if not exists(account, names.bucket, prefix + "gallery.json"):
            parts["gallery"] += ", missing from the bucket: run the deployment again"
    return parts


def _drift(path: Path, last: record.Record) -> str | None:
    from vizinho.gallery import GalleryView

    with GalleryView.open(path) as gallery:
        if not last.deployed:
            return f"{path} was never deployed to the end"
        if content_digest(gallery) == last.content:
            return None
        return f"{path} has changed since: {gallery.count:,} pictures here, {last.pictures:,} there"
