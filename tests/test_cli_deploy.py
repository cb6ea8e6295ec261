"""`vizinho deploy`, `status` and `destroy` as commands; what they do is tested in test_aws_*."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import vizinho.aws.deploy as room
from moto_account import moto_account, point_to
from toy_gallery import make_toy_gallery
from vizinho.aws.deploy import Deployed, DeployOptions, Names, Removed, Watcher, bucket
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.pictures import Missing
from vizinho.aws.deploy.trial import Trial
from vizinho.cli import build_app

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in a folder with one gallery; AWS can't be reached from it."""
    make_toy_gallery(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VIZINHO_GALLERY", raising=False)
    point_to(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr("vizinho.aws.package_image.shutil.which", lambda name: None)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def run(*words: str, said: str = "") -> Result:
        # Who says something sits at a terminal.
        monkeypatch.setattr("vizinho.cli.console.at_terminal", lambda: bool(said))
        return CliRunner().invoke(build_app(), list(words), input=said)

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[DeployOptions]:
    """The options of each deployment that a command line began; nothing is deployed."""
    seen: list[DeployOptions] = []

    def deploy(options: DeployOptions, watcher: Watcher) -> Deployed:
        seen.append(options)
        watcher.begin("pictures", "Pictures")
        watcher.progress(1, 2)
        watcher.say("Left out: b.png")
        watcher.end("pictures", "1 uploaded")
        return Deployed(
            name=options.name,
            region="eu-west-1",
            url="https://x.lambda-url.eu-west-1.on.aws",
            page_url="https://live.d1.amplifyapp.com",
            bucket="b",
            stack="s",
            function="f",
            gallery="abc",
            pictures=4,
            missing=[Missing("b.png", "gone")],
            steps={"pictures": "1 uploaded"},
            trial=Trial("a.png", 0.0, 0.5, 0.01, "https://b/a.png"),
            costs={
                "region": "us-east-1",
                "queries_per_month": 10_000,
                "usd_per_1000_queries": 0.0123,
                "usd_per_month": 1.5,
                "usd_standing_per_month": 0.9,
                "prices_as_of": "2026-09-24",
            },
        )

    monkeypatch.setattr(room, "deploy", deploy)
    return seen


def test_help_loads_no_boto3() -> None:
    code = "import sys, vizinho.cli; vizinho.cli.build_app(); sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_a_deployment_is_told_and_shown(run: Run, asked: list[DeployOptions]) -> None:
    words = "deploy aws --region eu-west-1 --memory 512 --api http --keep-logs 30 --no-page"
    done = run(*words.split())
    assert done.exit_code == 0, done.output
    (options,) = asked
    assert (options.name, options.gallery) == ("toy", Path.cwd() / "toy.vizinho")
    assert (options.memory, options.api, options.keep_logs) == (512, "http", 30)
    assert (options.page, options.public, options.snapstart) == (False, False, True)
    shown = done.stdout
    assert "https://x.lambda-url.eu-west-1.on.aws" in shown
    assert "https://live.d1.amplifyapp.com" in shown
    assert "a.png finds itself at 0.00" in shown
    assert "$0.0123 per 1,000 queries" in shown
    assert "$1.50 a month with 10,000 queries" in shown
    assert "prices of us-east-1 as of 2026-09-24" in shown
    assert "Pictures      1 uploaded" in done.stderr
    assert "Left out: b.png" in done.stderr


def test_a_deployment_as_json(run: Run, asked: list[DeployOptions]) -> None:
    done = run("deploy", "aws", "--json")
    told = json.loads(done.stdout)
    assert (told["pictures"], told["trial"]["distance"]) == (4, 0.0)
    assert told["missing"] == [{"key": "b.png", "reason": "gone"}]
    assert done.stderr == ""


def test_public_is_asked_for_aloud(run: Run, asked: list[DeployOptions]) -> None:
    refused = run("deploy", "aws", "--public", said="n\n")
    assert refused.exit_code == 1
    assert "everybody in the world will be able to fetch these 5 pictures" in refused.stderr
    assert asked == []
    assert run("deploy", "aws", "--public", said="y\n").exit_code == 0
    assert run("deploy", "aws", "--public", "--yes").exit_code == 0
    assert [options.public for options in asked] == [True, True]


@pytest.mark.parametrize("words", ["deploy aws --public", "destroy aws"])
def test_nobody_is_asked_without_a_terminal(
    run: Run, asked: list[DeployOptions], words: str
) -> None:
    done = run(*words.split())
    assert (done.exit_code, asked) == (1, [])
    assert "This needs a yes" in done.stderr
    assert done.stderr.endswith("Say --yes, or run it in a terminal.\n")
    told = json.loads(run(*words.split(), "--json", said="y\n").stderr)["error"]
    assert told["code"] == "deploy_error"
    assert told["hint"] == "Say --yes, or run it in a terminal."


@pytest.mark.parametrize("verb", ["deploy", "destroy"])
def test_ctrl_c_says_that_it_can_be_run_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def stop(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, verb, stop)
    done = run(verb, "aws", "--yes")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "Stopped. Run it again: it goes on where it stopped.\n"
    done = run(verb, "aws", "--yes", "--json")
    assert (done.exit_code, json.loads(done.stderr)["error"]["message"]) == (130, "Stopped.")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("deploy aws --name Toy_1", "can't be the name of a deployment"),
        ("deploy aws --keep-logs 2", "--keep-logs is 2"),
        ("deploy aws --gallery none.vizinho", "none.vizinho"),
        ("status aws", "AWS can't be reached"),
        ("destroy aws --yes", "AWS can't be reached"),
    ],
)
def test_what_goes_wrong_is_told_with_exit_code_1(run: Run, words: str, told: str) -> None:
    done = run(*words.split())
    assert done.exit_code == 1
    assert told in " ".join(done.stderr.split())
    done = run(*words.split(), "--json")
    assert told in json.loads(done.stderr)["error"]["message"]


def test_another_place_is_no_place(run: Run) -> None:
    assert run("deploy", "moon").exit_code == 2


def test_destroy_asks_and_lists(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def destroy(name: str, *, dry_run: bool = False, **more: Any) -> Removed:
        calls.append(dry_run)
        return Removed(name, "eu-west-1", ["stack vizinho-toy"], ["bucket b: it holds yours"])

    monkeypatch.setattr(room, "destroy", destroy)
    refused = run("destroy", "aws", said="n\n")
    assert (refused.exit_code, calls) == (1, [True])
    assert "stack vizinho-toy" in refused.stderr
    listed = run("destroy", "aws", "--dry-run")
    assert "would be removed: stack vizinho-toy" in listed.stdout
    assert calls == [True, True]
    done = run("destroy", "aws", "--yes")
    assert calls == [True, True, False]
    assert done.stdout == "removed: stack vizinho-toy\nleft: bucket b: it holds yours\n"


@pytest.fixture
def reachable(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """An account with S3, where nothing else stands; moto has no Amplify, and is slow to load
    the others."""
    with moto_account(monkeypatch):
        monkeypatch.setattr("vizinho.aws.deploy.app._ours", lambda *args: iter(()))
        for part in ("stack.find", "container.repository"):
            monkeypatch.setattr(f"vizinho.aws.deploy.{part}", lambda *args: None)
        yield Account().names("toy")


def test_a_plan_says_what_would_be_done_and_does_nothing(run: Run, reachable: Names) -> None:
    done = run("deploy", "aws", "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"create {reachable.bucket}, private" in done.stdout
    assert "upload 5, keep 0" in done.stdout
    assert "per 1,000 queries" in done.stdout
    assert "Nothing was changed." in done.stdout
    assert bucket.find(Account(), reachable) == "absent"
    refused = run("deploy", "aws", "--dry-run", "--package", "image")
    assert refused.exit_code == 1
    assert "neither docker nor podman is installed" in " ".join(refused.stderr.split())
    told = json.loads(run("deploy", "aws", "--dry-run", "--public", "--json").stdout)
    assert told["steps"]["bucket"] == f"create {reachable.bucket}, anyone may read pictures"
    assert told["costs"]["usd_per_month"] > 0


def test_an_image_that_cannot_be_built_is_refused_before_anything_is_made(
    run: Run, reachable: Names
) -> None:
    done = run("deploy", "aws", "--package", "image")
    assert done.exit_code == 1
    assert "neither docker nor podman is installed" in " ".join(done.stderr.split())
    assert bucket.find(Account(), reachable) == "absent"


def test_status_and_destroy_of_a_half_made_deployment(run: Run, reachable: Names) -> None:
    assert run("status", "aws").stdout == "Nothing stands of toy in eu-west-1.\n"
    account = Account()
    bucket.make(account, reachable)
    s3 = account.client("s3")
    for key in ("images/ab/abc.png", "galleries/x/vectors.npy", "urls.csv", "diary.txt"):
        s3.put_object(Bucket=reachable.bucket, Key=key, Body=b"x")
    seen = run("status", "aws").stdout
    assert f"{reachable.bucket}, private" in seen
    assert "never to the end" in seen
    done = run("destroy", "aws", "--yes")
    assert f"removed: 3 objects of {reachable.bucket}" in done.stdout
    assert "it holds what is not ours: diary.txt; take that out and run this again" in done.stdout
    seen = run("status", "aws").stdout
    assert "taken down; the bucket is left because it holds diary.txt" in seen
    assert "never" not in seen
    listed = json.loads(run("destroy", "aws", "--dry-run", "--json").stdout)
    assert (listed["dry_run"], listed["removed"]) == (True, [])
    s3.delete_object(Bucket=reachable.bucket, Key="diary.txt")
    assert f"removed: bucket {reachable.bucket}" in run("destroy", "aws", "--yes").stdout
    assert run("destroy", "aws", "--yes").stdout == "Nothing stands of toy in eu-west-1.\n"
