"""What goes wrong on AWS, told in words: which thing, and the way out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from moto_account import REGION, moto_account, point_to
from vizinho.aws.deploy import DeployOptions, bucket, deploy, destroy, status
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import told
from vizinho.errors import DeployError, GalleryNotFound
from vizinho.gallery import Gallery

NOWHERE = "http://127.0.0.1:9"


def options(gallery: Path, tmp_path: Path, **more: Any) -> DeployOptions:
    return DeployOptions(gallery=gallery, cache=tmp_path / "cache", **{"name": "toy", **more})


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_account(monkeypatch) as endpoint:
        yield endpoint


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(monkeypatch, NOWHERE)


def refused_by(
    code: str, message: str = "no", operation: str = "PutObject", status: int = 400
) -> Any:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)


def test_without_boto3(monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(DeployError, match="boto3") as caught:
        status("toy")
    assert 'pip install "vizinho[aws]"' in caught.value.hint


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DeployError, match="No AWS credentials") as caught:
        status("toy")
    assert "aws configure" in caught.value.hint


def test_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(monkeypatch, NOWHERE, region=None)
    with pytest.raises(DeployError, match="No AWS region") as caught:
        status("toy")
    assert "--region" in caught.value.hint


def test_with_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(DeployError, match="work"):
        status("toy")


def test_what_answers_may_not_be_aws() -> None:
    from botocore.parsers import ResponseParserError

    # A hotel's login page, or a proxy that says nothing.
    with pytest.raises(DeployError, match="is not AWS") as caught, told():
        raise ResponseParserError("no element found")
    assert "proxy" in caught.value.hint


def test_without_network(monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(DeployError, match=r"can't be reached: .*127\.0\.0\.1:9") as caught:
        status("toy")
    assert "goes on where it stopped" in caught.value.hint


@pytest.mark.parametrize("name", ["", "Toy", "toy_", "-toy", "toy-", "a--b", "x" * 25, "ü"])
def test_a_name_that_aws_would_not_take(name: str, offline: None) -> None:
    with pytest.raises(DeployError, match="can't be the name") as caught:
        destroy(name)
    assert "--name" in caught.value.hint


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"keep_logs": 2}, "1, 3, 5"),
        ({"python": "3.9"}, "3.13"),
        ({"memory": 64}, "1769"),
        ({"api": "ftp"}, "url, http"),
    ],
)
def test_an_option_that_aws_would_not_take(more: dict[str, Any], hint: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=str(next(iter(more.values())))) as caught:
        options(tmp_path, tmp_path, **more)
    assert hint in caught.value.hint


def test_a_gallery_that_is_missing_or_empty(
    tmp_path: Path, toy_bundle: Path, offline: None
) -> None:
    with pytest.raises(GalleryNotFound):
        deploy(options(tmp_path / "none.vizinho", tmp_path))
    Gallery.create(tmp_path / "empty.vizinho", model=toy_bundle).close()
    with pytest.raises(DeployError, match="is empty") as caught:
        deploy(options(tmp_path / "empty.vizinho", tmp_path))
    assert "vizinho index" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "message", "told_it", "hint"),
    [
        ("ExpiredToken", "expired", "have expired", "aws sso login"),
        ("InvalidAccessKeyId", "no such", "does not accept the credentials", "get-caller"),
        ("AccessDenied", "Access Denied", "AWS denies s3:PutObject", "s3:PutObject"),
        (
            "AccessDenied",
            "User: x is not authorized to perform: kms:Encrypt on resource: y",
            "AWS denies kms:Encrypt",
            "kms:Encrypt",
        ),
        ("TooManyBuckets", "too many", "limit of the AWS account", "Service Quotas"),
        ("ServiceQuotaExceededException", "full", "limit of the AWS account", "Service Quotas"),
        ("RequestTimeTooSkewed", "late", "clock", "right"),
        ("ThrottlingException", "slow", "turning s3:PutObject away", "Wait"),
        ("OptInRequired", "opt", "can't use this here", "--region"),
        ("Strange", "whatever it is", "refuses s3:PutObject .Strange.: whatever it is", ""),
    ],
)
def test_what_aws_answers(code: str, message: str, told_it: str, hint: str, offline: None) -> None:
    account = Account()
    account.client("s3")
    with pytest.raises(DeployError, match=told_it) as caught, told(account):
        raise refused_by(code, message)
    assert hint in caught.value.hint


def test_which_action_was_denied_is_said_by_its_own_name(offline: None) -> None:
    account = Account()
    for service, operation, action in (
        ("s3", "HeadBucket", "s3:ListBucket"),
        ("cloudformation", "CreateChangeSet", "cloudformation:CreateChangeSet"),
        ("amplify", "CreateApp", "amplify:CreateApp"),
    ):
        account.client(service)
        with pytest.raises(DeployError, match=f"AWS denies {action}"), told(account):
            raise refused_by("AccessDeniedException", operation=operation)


def test_errors_of_others_stay_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), told():
        raise ZeroDivisionError


def _head_says(status: int, headers: dict[str, str]) -> tuple[Account, Stubber]:
    account = Account()
    account._id = "123456789012"
    stub = Stubber(account.client("s3"))
    meta = {"HTTPHeaders": headers}
    stub.add_client_error("head_bucket", str(status), http_status_code=status, response_meta=meta)
    stub.activate()
    return account, stub


def test_a_bucket_of_somebody_else(offline: None) -> None:
    account, _ = _head_says(403, {})
    with pytest.raises(DeployError, match="taken by another AWS account") as caught:
        bucket.find(account, account.names("toy"))
    assert "--name" in caught.value.hint


def test_a_bucket_in_another_region(offline: None) -> None:
    account, _ = _head_says(301, {"x-amz-bucket-region": "us-east-2"})
    with pytest.raises(DeployError, match="stands in us-east-2") as caught:
        bucket.find(account, account.names("toy"))
    assert "--region us-east-2" in caught.value.hint


def test_a_bucket_name_that_somebody_took_meanwhile(offline: None) -> None:
    account, stub = _head_says(404, {})
    stub.add_client_error("create_bucket", "BucketAlreadyExists", http_status_code=409)
    with pytest.raises(DeployError, match="taken by another AWS account"):
        bucket.make(account, account.names("toy"))


def test_a_bucket_that_holds_what_is_not_ours_is_left_alone(endpoint: str) -> None:
    account = Account()
    names, s3 = account.names("toy"), account.client("s3")
    where: Any = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=names.bucket, CreateBucketConfiguration=where)
    # Killed between making it and tagging it: empty, so it is gone on with.
    assert bucket.find(account, names) == "untagged"
    s3.put_object(Bucket=names.bucket, Key="diary.txt", Body=b"dear")
    with pytest.raises(DeployError, match="not made by Vizinho"):
        bucket.make(account, names)
    s3.delete_object(Bucket=names.bucket, Key="diary.txt")
    assert bucket.make(account, names) is False
    assert bucket.find(account, names) == "ours"


def test_pictures_that_the_account_forbids_to_be_public(
    offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_PAUSES", (0.0,))
    account = Account()
    account._id = "123456789012"
    stub = Stubber(account.client("s3"))
    for _ in range(2):
        stub.add_client_error("put_bucket_policy", "AccessDenied", http_status_code=403)
    stub.activate()
    with pytest.raises(DeployError, match="s3:PutBucketPolicy") as caught:
        bucket._open(account.client("s3"), account.names("toy"))
    assert "Block Public Access settings" in caught.value.hint
    stub.assert_no_pending_responses()
