"""What an earlier deployment left and nothing refers to any more."""

from __future__ import annotations

from vizinho.aws.deploy import container
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import GALLERIES, IMAGES, PACKAGES, TEMPLATES
from vizinho.aws.deploy.function import Code
from vizinho.aws.deploy.objects import abandon_uploads, delete, listing
from vizinho.aws.deploy.options import DeployOptions, Names
from vizinho.aws.deploy.pictures import Pictures


def tidy(
    account: Account,
    names: Names,
    options: DeployOptions,
    pictures: Pictures,
    gallery_digest: str,
    code: Code,
) -> str:
    """Remove pictures, galleries and packages of before; to be called once the function answers
    with what is new. Returns what was done, in words."""
    old = list(pictures.superfluous)
    kept = (f"{GALLERIES}{gallery_digest}/", code.place)
    for prefix in (GALLERIES, PACKAGES, TEMPLATES):
        old += [
            key for key, _ in listing(account, names.bucket, prefix) if not key.startswith(kept)
        ]
    delete(account, names.bucket, old)
    begun = abandon_uploads(account, names.bucket, (IMAGES, GALLERIES, PACKAGES, TEMPLATES))
    # Without an image deployed, every image is of before.
    digest = code.digest if options.package == "image" else ""
    images = container.forget_others(account, names, digest)
    parts = [f"{len(old):,} old objects"] if old else []
    parts += [f"{begun:,} unfinished uploads"] if begun else []
    parts += [f"{images:,} old images"] if images else []
    return f"{' and '.join(parts)} removed" if parts else "nothing to do"
