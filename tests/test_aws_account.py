"""The emulated account itself: that it refuses what AWS refuses, and runs what was uploaded."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from aws_account import REGION, Account
from rie import require_rie
from toy_stack import HANDLER, TEMPLATE

CAPABLE = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


def code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", HANDLER)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    require_rie()
    with Account(tmp_path_factory.mktemp("account")) as account:
        assert account.resources() == {}
        yield account


@pytest.fixture
def bucket(account: Account) -> Iterator[str]:
    s3 = account.client("s3")
    where: Any = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="code-bucket", CreateBucketConfiguration=where)
    s3.put_object(Bucket="code-bucket", Key="code.zip", Body=code())
    yield "code-bucket"
    account.client("cloudformation").delete_stack(StackName="demo")
    account.stacks.settle()
    for key in account.resources()["buckets"]["code-bucket"]["objects"]:
        s3.delete_object(Bucket="code-bucket", Key=key)
    s3.delete_bucket(Bucket="code-bucket")
    assert account.resources() == {}


def stack(account: Account, word: str, action: str = "create_stack", **more: Any) -> dict[str, Any]:
    client = account.client("cloudformation")
    parameters = [{"ParameterKey": "Word", "ParameterValue": word}]
    given = {"TemplateBody": TEMPLATE, "Capabilities": CAPABLE, "Parameters": parameters, **more}
    getattr(client, action)(StackName="demo", **given)
    account.stacks.settle()
    (found,) = client.describe_stacks(StackName="demo")["Stacks"]
    return dict(found)


def gone(account: Account) -> None:
    account.client("cloudformation").delete_stack(StackName="demo")
    account.stacks.settle()
    with pytest.raises(ClientError, match="does not exist"):
        account.client("cloudformation").describe_stacks(StackName="demo")


def refused(code: str, call: Any, **given: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["Error"]["Code"] == code


def test_a_stack_runs_the_uploaded_zip_until_it_is_deleted(account: Account, bucket: str) -> None:
    found = stack(account, "quiet")
    assert found["StackStatus"] == "CREATE_COMPLETE", account.stacks.find("demo").events
    url = found["Outputs"][0]["OutputValue"]
    # SAM gives a URL that is open to all only the older one of two permissions, or both.
    actions = account.resources()["functions"]
    (function,) = actions.values()
    if function["permissions"] != ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]:
        assert httpx.get(url).status_code == 403
        name = next(iter(account.functions.deployed))
        both = {"Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True}
        account.functions.allow(name, "second", both)
    told = httpx.post(f"{url}a%20b/c?x=1&x=2&y=", content=b"\xff\x00", timeout=120).json()
    assert "word" in told, account.functions.log()
    assert (told["word"], told["endpoint"]) == ("quiet!", account.endpoint)
    event = told["event"]
    assert event["rawPath"] == "/a b/c"
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert (event["isBase64Encoded"], event["body"]) == (True, "/wA=")
    assert event["requestContext"]["http"]["method"] == "POST"

    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack(account, "quiet", "update_stack")
    changed = stack(account, "loud", "update_stack")
    assert changed["StackStatus"] == "UPDATE_COMPLETE"
    assert httpx.get(url, timeout=120).json()["word"] == "loud!"
    assert len(account.resources()["at moto"]["alarms"]) == 1
    gone(account)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_failing_resource_rolls_its_stack_back(account: Account, bucket: str) -> None:
    account.world.faults["AWS::CloudWatch::Alarm"] = "no more alarms"
    try:
        found = stack(account, "loud")
        assert found["StackStatus"] == "ROLLBACK_COMPLETE"
        assert set(account.resources()) == {"buckets", "stacks"}
        with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
            stack(account, "quiet", "update_stack")
        events = account.client("cloudformation").describe_stack_events(StackName="demo")
        reasons = [e.get("ResourceStatusReason", "") for e in events["StackEvents"]]
        assert any("no more alarms" in reason for reason in reasons)
        gone(account)

        assert stack(account, "quiet")["StackStatus"] == "CREATE_COMPLETE"
        before = account.resources()
        failed = stack(account, "loud", "update_stack")
        assert failed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        after = account.resources()
        assert after.pop("stacks")
        assert before.pop("stacks")
        assert after == before
    finally:
        account.world.faults.clear()
        gone(account)


def test_what_cloudformation_refuses(account: Account, bucket: str) -> None:
    client = account.client("cloudformation")
    given: dict[str, Any] = {"StackName": "demo", "TemplateBody": TEMPLATE}
    given["Parameters"] = [{"ParameterKey": "Word", "ParameterValue": "w"}]
    create = client.create_stack
    short = "InsufficientCapabilitiesException"
    refused(short, create, **given, Capabilities=["CAPABILITY_IAM"])
    refused(short, create, **given, Capabilities=["CAPABILITY_AUTO_EXPAND"])
    refused("ValidationError", create, **given | {"Parameters": []}, Capabilities=CAPABLE)
    refused("ValidationError", create, **given | {"TemplateBody": "a: [b"}, Capabilities=CAPABLE)
    long = TEMPLATE + "#" * 52_000
    refused("ValidationError", create, **given | {"TemplateBody": long}, Capabilities=CAPABLE)
    assert "stacks" not in account.resources()
    create(**given, Capabilities=CAPABLE)
    refused("AlreadyExistsException", create, **given, Capabilities=CAPABLE)
    refused("ValidationError", client.update_stack, **given, Capabilities=CAPABLE)  # busy
    account.stacks.settle()
    same = {**given, "Capabilities": CAPABLE, "ChangeSetName": "same"}
    client.create_change_set(**same)
    seen = client.describe_change_set(StackName="demo", ChangeSetName="same")
    assert (seen["Status"], seen["Changes"]) == ("FAILED", [])
    refused(
        "InvalidChangeSetStatus",
        client.execute_change_set,
        StackName="demo",
        ChangeSetName="same",
    )
    gone(account)


def test_a_bucket_is_closed_until_it_is_opened(account: Account, bucket: str) -> None:
    s3 = account.client("s3", signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="a/é x.txt", Body=b"hello")
    url = f"{account.endpoint}/{bucket}/a/%C3%A9%20x.txt"
    assert httpx.get(url).status_code == 403
    link = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "a/é x.txt"}, ExpiresIn=1
    )
    assert httpx.get(link).text == "hello"
    assert httpx.get(link.replace("a/", "b/")).status_code == 403
    time.sleep(2.1)
    assert "expired" in httpx.get(link).text

    anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    statement = {**anyone, "Resource": f"arn:aws:s3:::{bucket}/a/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    refused("AccessDenied", s3.put_bucket_policy, Bucket=bucket, Policy=policy)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert httpx.get(url).text == "hello"
    for closed in ("", "/code.zip"):
        assert httpx.get(f"{account.endpoint}/{bucket}{closed}").status_code == 403
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
    )
    assert httpx.get(url).status_code == 403


def test_only_the_buckets_rules_open_it_to_other_origins(account: Account, bucket: str) -> None:
    s3 = account.client("s3", signature_version="s3v4")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "code.zip"})
    page = {"Origin": "https://page.example"}
    asked = {**page, "Access-Control-Request-Method": "GET"}
    assert "access-control-allow-origin" not in httpx.get(link, headers=page).headers
    assert httpx.options(link, headers=asked).status_code == 403
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://page.example"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    found = httpx.get(link, headers=page)
    assert found.headers["access-control-allow-origin"] == "https://page.example"
    assert httpx.options(link, headers=asked).status_code == 200
    other = httpx.get(link, headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_who_may_do_what(account: Account, bucket: str) -> None:
    from aws_account.rights import allowed
    from aws_account.signatures import Identity

    statement = {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::b/a/*"}
    assert allowed([statement], "s3:GetObject", "arn:aws:s3:::b/a/x")
    assert not allowed([statement], "s3:GetObject", "arn:aws:s3:::b/c")
    assert not allowed([statement], "s3:PutObject", "arn:aws:s3:::b/a/x")
    account.keyring.identities["AKIAEMULATEDDEPLOYER"] = Identity("AKIAEMULATEDDEPLOYER", "other")
    try:
        listing = account.client("s3").list_objects_v2
        refused("SignatureDoesNotMatch", listing, Bucket=bucket)
        refused("SignatureDoesNotMatch", account.client("sts").get_caller_identity)
    finally:
        account.keyring.add(Identity("AKIAEMULATEDDEPLOYER", "emulated/secret/of/the/deployer"))
    account.front.denied = {"iam"}
    try:
        refused("AccessDenied", account.client("iam").list_roles)
    finally:
        account.front.denied = set()
    account.front.buckets.taken = {"theirs"}
    where: Any = {"LocationConstraint": REGION}
    make = account.client("s3").create_bucket
    refused("BucketAlreadyExists", make, Bucket="theirs", CreateBucketConfiguration=where)
    refused("403", account.client("s3").head_bucket, Bucket="theirs")


def test_a_page_is_served_with_its_headers(account: Account) -> None:
    client = account.client("amplify")
    app = client.create_app(name="page", platform="WEB", tags={"a": "b"})["app"]
    rules = 'customHeaders:\n  - pattern: "**/*.html"\n    headers:\n'
    rules += "      - key: X-Frame-Options\n        value: DENY\n"
    client.update_app(appId=app["appId"], customHeaders=rules)
    client.create_branch(appId=app["appId"], branchName="main")
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_branch(appId=app["appId"], branchName="other")
    made = client.create_deployment(appId=app["appId"], branchName="main")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.html", "<p>here</p>")
        file.writestr("a/b.css", "p {}")
    assert httpx.put(made["zipUploadUrl"], content=archive.getvalue()).status_code == 200
    about = {"appId": app["appId"], "branchName": "main", "jobId": made["jobId"]}
    client.start_deployment(**about)
    while (job := client.get_job(**about)["job"]["summary"])["status"] in ("PENDING", "RUNNING"):
        time.sleep(0.05)
    assert job["status"] == "SUCCEED"
    with httpx.Client(verify=False) as browser:
        headers = {"Host": f"main.{app['defaultDomain']}"}
        origin = f"https://127.0.0.1:{account.page_port}"
        found = browser.get(f"{origin}/", headers=headers)
        assert (found.text, found.headers["x-frame-options"]) == ("<p>here</p>", "DENY")
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert "x-frame-options" not in browser.get(f"{origin}/a/b.css", headers=headers).headers
        assert browser.get(f"{origin}/none", headers=headers).status_code == 404
    assert client.list_tags_for_resource(resourceArn=app["appArn"])["tags"] == {"a": "b"}
    assert list(account.resources()) == ["apps"]
    client.delete_app(appId=app["appId"])
    assert account.resources() == {}
