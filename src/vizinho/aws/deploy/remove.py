"""All that a deployment made, removed again, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from vizinho.aws.deploy import app as amplify
from vizinho.aws.deploy import bucket as buckets
from vizinho.aws.deploy import container, record, stack
from vizinho.aws.deploy import lock as locks
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import told
from vizinho.aws.deploy.objects import abandon_uploads, delete, listing
from vizinho.aws.deploy.options import Names, check_name
from vizinho.aws.deploy.results import Removed
from vizinho.aws.deploy.watch import Quiet, Watcher

_PREFIXES = (buckets.IMAGES, buckets.GALLERIES, buckets.PACKAGES, buckets.TEMPLATES)
_OBJECTS = (buckets.URLS, record.KEY)


def destroy(
    name: str,
    *,
    region: str | None = None,
    dry_run: bool = False,
    watcher: Watcher | None = None,
) -> Removed:
    """Remove a deployment, whole or half-made; one that is gone already is fine.

    Only what carries its tag: function, roles, logs and alarms (the stack), the page, the image's
    repository, our objects, and the bucket if nothing else is in it. ``dry_run`` only lists.
    Raises DeployError.
    """
    check_name(name)
    with told():
        account = Account(region)
        with told(account):
            names = account.names(name)
            if dry_run:
                return _listed(account, names)
            return _destroy(account, names, watcher or Quiet())


def _destroy(account: Account, names: Names, watcher: Watcher) -> Removed:
    done = Removed(names.name, names.region)
    standing = buckets.find(account, names)
    # The lock is an object, so it also keeps the bucket from being taken for an empty one.
    held: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if standing == "ours":
        held = locks.Lock(account, names.bucket)
    with held:
        watcher.begin("function", "Function")
        if stack.remove(account, names, watcher.say):
            done.removed.append(f"stack {names.stack}")
        watcher.end("function", "removed" if done.removed else "there was none")
        watcher.begin("app", "Page")
        removed = amplify.remove(account, names)
        if removed:
            done.removed.append(f"page {names.app}")
        watcher.end("app", "removed" if removed else "there was none")
        if container.remove(account, names):
            done.removed.append(f"container images {names.stack}")
        watcher.begin("bucket", "Bucket")
        if standing == "ours":
            keys = _our_keys(account, names)
            delete(account, names.bucket, keys, watcher.progress)
            abandon_uploads(account, names.bucket, _PREFIXES)
            if keys:
                done.removed.append(f"{len(keys):,} objects of {names.bucket}")
    _remove_bucket(account, names, standing, done)
    watcher.end("bucket", "left" if done.left else "removed" if standing != "absent" else "none")
    return done


def _remove_bucket(
    account: Account, names: Names, standing: buckets.Standing, done: Removed
) -> None:
    if standing == "absent":
        return
    others = [key for key, _ in listing(account, names.bucket)]
    if not others:
        buckets.remove(account, names)
        done.removed.append(f"bucket {names.bucket}")
        return
    what = f"bucket {names.bucket}"
    if standing == "untagged":
        done.left.append(f"{what}: it was not made by Vizinho")
    elif others == [locks.KEY]:
        done.left.append(f"{what}: somebody is deploying into it")
    else:
        done.left.append(
            f"{what}: it holds what is not ours: {_named(others)}; take that out and run this "
            "again, or keep the bucket"
        )


def left_behind(account: Account, names: Names) -> str | None:
    """What a bucket of which all that is ours was removed still holds; None for any other."""
    keys = [key for key, _ in listing(account, names.bucket)]
    if not keys or any(_is_ours(key) or key == locks.KEY for key in keys):
        return None
    return _named(keys)


def _named(keys: Sequence[str]) -> str:
    return keys[0] + (f" and {len(keys) - 1:,} more" if len(keys) > 1 else "")


def _is_ours(key: str) -> bool:
    return key.startswith(_PREFIXES) or key in _OBJECTS


def _our_keys(account: Account, names: Names) -> list[str]:
    return [key for key, _ in listing(account, names.bucket) if _is_ours(key)]


def _listed(account: Account, names: Names) -> Removed:
    done = Removed(names.name, names.region, dry_run=True)
    standing = buckets.find(account, names)
    if stack.find(account, names) is not None:
        done.removed.append(f"stack {names.stack}")
    if amplify.find(account, names) is not None:
        done.removed.append(f"page {names.app}")
    if container.stands(account, names):
        done.removed.append(f"container images {names.stack}")
    if standing != "absent":
        ours = set(_our_keys(account, names)) if standing == "ours" else set()
        others = {key for key, _ in listing(account, names.bucket)} - ours - {locks.KEY}
        if ours:
            done.removed.append(f"{len(ours):,} objects of {names.bucket}")
        if others:
            done.left.append(f"bucket {names.bucket}: it holds {len(others):,} objects not ours")
        else:
            done.removed.append(f"bucket {names.bucket}")
    return done
