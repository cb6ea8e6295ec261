"""Two deployments at once: the second is told, and a dead one is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from moto_account import moto_account
from vizinho.aws.deploy import Names, bucket, objects
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.lock import EXPIRES, KEY, Lock
from vizinho.errors import DeployError


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with moto_account(monkeypatch):
        yield Account()


@pytest.fixture
def names(account: Account) -> Names:
    names = account.names("toy")
    bucket.make(account, names)
    return names


def keys(account: Account, names: Names) -> set[str]:
    return {key for key, _ in objects.listing(account, names.bucket)}


def test_the_second_deployer_is_told_who_is_at_it(account: Account, names: Names) -> None:
    with Lock(account, names.bucket) as held:
        held.check()
        with pytest.raises(DeployError, match=f"process {os.getpid()}") as caught:
            Lock(account, names.bucket).__enter__()
        assert "Wait" in caught.value.hint
        assert keys(account, names) == {KEY}
    assert keys(account, names) == set()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(account: Account, names: Names) -> None:
    script = f"""
        import os, signal
        from vizinho.aws.deploy.account import Account
        from vizinho.aws.deploy.lock import Lock
        with Lock(Account(), {names.bucket!r}):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert keys(account, names) == {KEY}
    with Lock(account, names.bucket) as held:
        held.check()


def test_a_lock_from_elsewhere_ends_by_itself(
    account: Account, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"owner": "ana@far", "machine": "far", "pid": 1, "since": "12:00"})
    account.client("s3").put_object(Bucket=names.bucket, Key=KEY, Body=body)
    with pytest.raises(DeployError, match="ana@far"):
        Lock(account, names.bucket).__enter__()
    assert EXPIRES > 60
    monkeypatch.setattr("vizinho.aws.deploy.lock.EXPIRES", 0.5)
    time.sleep(1.5)
    with Lock(account, names.bucket) as held:
        held.check()


def test_a_holder_whose_lock_was_taken_stops(
    account: Account, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizinho.aws.deploy.lock.RENEWED", 0.05)
    with Lock(account, names.bucket) as held:
        account.client("s3").put_object(Bucket=names.bucket, Key=KEY, Body=b"{}")
        end = time.monotonic() + 60
        while time.monotonic() < end and not held._lost:
            time.sleep(0.05)
        with pytest.raises(DeployError, match="took over"):
            held.check()
    # What is another's now is left to it.
    assert keys(account, names) == {KEY}
