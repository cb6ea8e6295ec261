"""What an earlier deployment left and nothing refers to any more."""

from __future__ import annotations

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import GALLERIES, PACKAGES, TEMPLATES
from vizinho.aws.deploy.function import Code
from vizinho.aws.deploy.objects import delete, listing
from vizinho.aws.deploy.options import Names
from vizinho.aws.deploy.pictures import Pictures


def tidy(
    account: Account, names: Names, pictures: Pictures, gallery_digest: str, code: Code
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
    return f"{len(old):,} old objects removed" if old else "nothing to do"
