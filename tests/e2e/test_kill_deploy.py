"""A real ``vizinho deploy aws``, killed at random moments: the next run ends in the same state.

``VIZINHO_KILLS`` sets how many kills (3 unless given; the release is checked with 10),
``VIZINHO_SEED`` the moments of a run that is to be looked at again.
"""

from __future__ import annotations

import os
import random
import signal
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


def killed(deployer: Deployer, gallery: Path, moment: float) -> bool:
    """SIGKILL so many seconds after the start; False if it had ended by then."""
    process = deployer.start(*deploy_words(gallery))
    try:
        process.wait(moment)
    except BaseException:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    told = process.communicate()
    assert process.returncode == 0, told
    return False


def test_kills_at_random_moments(account: Account, kitchen: Path, tmp_path: Path) -> None:
    deployer = Deployer(account, kitchen)
    path = make_gallery(tmp_path)
    deployer.deploy(path)  # builds the package, which is not to be timed
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    began = time.monotonic()
    deployer.deploy(path)
    duration = time.monotonic() - began
    undisturbed = steady(account, BUCKET)
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    assert account.resources() == {}

    seed = int(os.environ.get("VIZINHO_SEED", random.SystemRandom().randrange(10**9)))
    chance = random.Random(seed)
    print(f"seed {seed}; undisturbed: {duration:.1f} s")
    kills = 0
    moments: list[str] = []
    while kills < KILLS:
        # Half of them into a first deployment, half into one on top of an interrupted one.
        moment = chance.uniform(0.1, 1.0) * duration
        hit = killed(deployer, path, moment)
        kills += hit
        there = sorted(account.resources())
        moments.append(f"{moment:.1f} s ({'killed' if hit else 'over'}): {', '.join(there)}")
        if kills % 2 == 0 or not hit:
            continue
        deployer.deploy(path)
        assert steady(account, BUCKET) == undisturbed, (seed, moments)
        deployer.run("destroy", "aws", "--gallery", path, "--yes")
        assert account.resources() == {}, (seed, moments)
    print("\n".join(moments))
    deployer.deploy(path)
    assert steady(account, BUCKET) == undisturbed, (seed, moments)

    # An update that is killed in the middle is no different.
    with Gallery.open(path) as gallery:
        gallery.add([NewImage(picture(200), key="late.png", store=True)])
        gallery.remove([key_of(5)])
    killed(deployer, path, chance.uniform(0.2, 0.9) * duration)
    deployer.deploy(path)
    updated = steady(account, BUCKET)
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    deployer.deploy(path)
    assert updated == steady(account, BUCKET), (seed, moments)
    # Also one killed while it takes all down.
    process = deployer.start("destroy", "aws", "--gallery", path, "--yes")
    time.sleep(chance.uniform(0.5, 1.0) * duration / 3)
    process.kill()
    process.communicate()
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    assert account.resources() == {}
