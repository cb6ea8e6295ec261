"""A real ``vizinho deploy aws``, killed at random moments: the next run ends in the same state.

``VIZINHO_KILLS`` sets how many kills (3 unless given; the release is checked with 10),
``VIZINHO_SEED`` the moments of a run that is to be looked at again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_account import Account
from deploying import Deployer, deploy_words, steady
from rie import require_rie
from serving import key_of, make_gallery, picture
from vizinho.gallery import Gallery, NewImage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")

KILLS = int(os.environ.get("VIZINHO_KILLS", "3"))
BUCKET = "vizinho-shown-123456789012-eu-west-1"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    require_rie()
    with Account(tmp_path_factory.mktemp("killed")) as account:
        yield account


def killed(deployer: Deployer, words: list[str], requests: int, delay: float) -> bool:
    """SIGKILL so many seconds after so many requests to AWS; False if it had ended by then.

    By requests rather than by the clock: a busy machine would else shift all kills to the start.
    """
    calls = deployer.account.front.calls
    wanted = len(calls) + requests
    process = deployer.start(*words)
    while process.poll() is None and len(calls) < wanted:
        time.sleep(0.002)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    told = process.communicate()
    assert process.returncode == 0, told
    return False


def test_kills_at_random_moments(account: Account, kitchen: Path, tmp_path: Path) -> None:
    deployer = Deployer(account, kitchen)
    path = make_gallery(tmp_path)
    began = len(account.front.calls)
    deployer.deploy(path)
    requests = len(account.front.calls) - began
    undisturbed = steady(account, BUCKET)
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    assert account.resources() == {}

    seed = int(os.environ.get("VIZINHO_SEED", random.SystemRandom().randrange(10**9)))
    chance = random.Random(seed)
    print(f"seed {seed}; undisturbed: {requests} requests")
    words = deploy_words(path)
    moments: list[str] = []
    kills = 0
    while kills < KILLS:
        after, delay = chance.randrange(requests), chance.uniform(0, 0.3)
        hit = killed(deployer, words, after, delay)
        kills += hit
        there = ", ".join(account.resources()) or "nothing"
        said = "killed" if hit else "had ended"
        moments.append(f"after {after} requests and {delay:.2f} s {said}; there was {there}")
        print(moments[-1], flush=True)
        # Every other one comes on top of a deployment that was killed before.
        if hit and kills % 2 and kills < KILLS:
            continue
        deployer.deploy(path)
        assert steady(account, BUCKET) == undisturbed, (seed, moments)
        if kills < KILLS:
            deployer.run("destroy", "aws", "--gallery", path, "--yes")
            assert account.resources() == {}, (seed, moments)

    # A change that is killed in the middle is no different, nor is taking all down.
    with Gallery.open(path) as gallery:
        gallery.add([NewImage(picture(200), key="late.png", store=True)])
        gallery.remove([key_of(5)])
    killed(deployer, words, chance.randrange(requests // 2), 0)
    deployer.deploy(path)
    changed = steady(account, BUCKET)
    assert changed != undisturbed
    down = ["destroy", "aws", "--gallery", str(path), "--yes"]
    killed(deployer, down, chance.randrange(10), 0.1)
    deployer.deploy(path)
    assert steady(account, BUCKET) == changed, (seed, moments)
    deployer.run(*down)
    assert account.resources() == {}, (seed, moments)
