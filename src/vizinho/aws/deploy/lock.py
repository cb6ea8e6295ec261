"""One deployment at a time: an object in the bucket that only one can write.

The holder renews it; a lock that was not renewed for `EXPIRES` seconds belongs to nobody any more,
by the clock of S3 itself. The lock of a process that died on this very machine is taken over at
once, so that an interrupted deployment can simply be run again.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import threading
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import code_of
from vizinho.errors import DeployError

KEY = "lock.json"
EXPIRES = 120.0
RENEWED = 30.0


class Lock:
    """Held inside ``with``. Raises DeployError when somebody else holds it."""

    def __init__(self, account: Account, bucket: str) -> None:
        self._s3: Any = account.client("s3")
        self._bucket = bucket
        self._etag = ""
        self._lost = False
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._mine = {
            "id": uuid.uuid4().hex,
            "owner": f"{_user()}@{platform.node()}",
            "machine": machine(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def __enter__(self) -> Self:
        if not self._put(IfNoneMatch="*"):
            self._take_over()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        if not self._lost:
            # Whatever went wrong is told by the error that is on its way; the lock runs out.
            with contextlib.suppress(Exception):
                found = holder(self._s3, self._bucket)
                # After a long sleep it may be somebody else's by now.
                if found is not None and found[0].get("id") == self._mine["id"]:
                    self._s3.delete_object(Bucket=self._bucket, Key=KEY)

    def check(self) -> None:
        """Raises DeployError when the lock was lost, as by a machine that slept too long."""
        if self._lost:
            raise DeployError(
                "Another deployment took over while this one slept.",
                "Let it end, then run this again.",
            )

    def _take_over(self) -> None:
        found = holder(self._s3, self._bucket)
        if found is None:
            taken = self._put(IfNoneMatch="*")
        else:
            who, age, etag = found
            if who.get("id") == self._mine["id"]:
                # Ours, put by a request whose answer got lost and that was therefore repeated.
                self._etag = etag
                return
            if age < EXPIRES and not _dead(who):
                raise busy(who)
            taken = self._put(IfMatch=etag)
        if not taken:
            found = holder(self._s3, self._bucket)
            raise busy(found[0] if found else {})

    def _put(self, **condition: str) -> bool:
        try:
            answer = self._s3.put_object(
                Bucket=self._bucket,
                Key=KEY,
                Body=json.dumps(self._mine).encode(),
                ContentType="application/json",
                **condition,
            )
        except self._s3.exceptions.ClientError as error:
            # 409 is a race that S3 has not decided, 404 a lock that has just been given back.
            if code_of(error) in (
                "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409",
            ):  # fmt: skip
                return False
            raise
        self._etag = answer["ETag"]
        return True

    def _renew(self) -> None:
        while not self._done.wait(RENEWED):
            try:
                if not self._put(IfMatch=self._etag):
                    self._lost = True
                    return
            except Exception:  # the network may come back before the lock ends
                continue


def holder(s3: Any, bucket: str) -> tuple[dict[str, Any], float, str] | None:
    """Who holds the lock, seconds since it was renewed (S3's clock), its ETag; None if nobody."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=KEY)
    except s3.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise
    try:
        who = json.loads(answer["Body"].read())
    except ValueError:
        who = {}
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return who, (now - answer["LastModified"]).total_seconds(), answer["ETag"]


def busy(who: dict[str, Any]) -> DeployError:
    """The error that says who is at it."""
    owner, since = who.get("owner", "somebody"), who.get("since", "just now")
    return DeployError(
        f"This deployment is being worked on by {owner} (process {who.get('pid', '?')}, since "
        f"{since}).",
        f"Wait for it to end. If it died, its hold ends by itself within {EXPIRES:.0f} seconds.",
    )


def machine() -> str:
    """This machine as processes see it: two containers on one host are two."""
    space = Path("/proc/self/ns/pid")
    inside = str(space.readlink()) if space.exists() else ""
    return f"{platform.node()} {uuid.getnode():x} {inside}".strip()


def _dead(who: dict[str, Any]) -> bool:
    if who.get("machine") != machine() or os.name != "posix":
        return False
    try:
        os.kill(int(who["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, KeyError, ValueError):
        return False
    return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"
