"""What AWS does late, twice or not everywhere, and what a deployment makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber

from moto_account import REGION, moto_account, point_to
from vizinho.aws.deploy import DeployOptions, Names, app, bucket, function, stack, trial
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.lock import KEY, Lock
from vizinho.errors import DeployError

NAMES = Names("toy", "123456789012", REGION)
OURS = {"vizinho:deployment": "toy"}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Account:
    point_to(monkeypatch, "http://127.0.0.1:9")
    for module in (bucket, trial):
        monkeypatch.setattr(module, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(stack, "_PACE", (0.0, 0.0))
    return Account()


def stubbed(account: Account, service: str) -> Stubber:
    stub = Stubber(account.client(service))
    stub.activate()
    return stub


def test_a_stack_that_was_never_born_is_made_by_its_name(offline: Account) -> None:
    """Its number would be taken for that of a stack to be changed."""
    stub = stubbed(offline, "cloudformation")
    about = {"StackId": "arn:1", "StackName": NAMES.stack, "CreationTime": datetime.now(UTC)}

    def described(status: str) -> dict[str, Any]:
        return {"Stacks": [{**about, "StackStatus": status}]}

    stub.add_response("describe_stacks", described("REVIEW_IN_PROGRESS"))
    asked = {"StackName": NAMES.stack, "ChangeSetType": "CREATE"}
    more = ("ChangeSetName", "Parameters", "Capabilities", "Tags", "TemplateBody")
    expected = {**asked, **dict.fromkeys(more, ANY)}
    stub.add_response("create_change_set", {"Id": "c", "StackId": "arn:1"}, expected)
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
    stub.add_response("execute_change_set", {})
    stub.add_response("describe_stacks", described("CREATE_COMPLETE"))
    stub.add_response("describe_stack_events", {"StackEvents": []})
    assert stack.put(offline, NAMES, "{}", {}, lambda text: None) == "created"
    stub.assert_no_pending_responses()


def test_a_bucket_of_a_name_that_was_just_given_back(offline: Account) -> None:
    stub = stubbed(offline, "s3")
    stub.add_client_error("head_bucket", "404", http_status_code=404)
    stub.add_client_error("create_bucket", "OperationAborted", http_status_code=409)
    stub.add_response("create_bucket", {})
    stub.add_response("head_bucket", {"ResponseMetadata": {"HTTPStatusCode": 200}})
    stub.add_response("put_bucket_tagging", {})
    assert bucket.make(offline, NAMES) is True
    stub.assert_no_pending_responses()


def test_a_lock_whose_answer_got_lost_is_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with moto_account(monkeypatch):
        account = Account()
        names = account.names("toy")
        bucket.make(account, names)
        put, answers = Lock._put, [False]

        def repeated(self: Lock, **condition: str) -> bool:
            done = put(self, **condition)
            return answers.pop() if answers else done

        monkeypatch.setattr(Lock, "_put", repeated)
        with Lock(account, names.bucket) as held:
            held.check()
            assert account.client("s3").head_object(Bucket=names.bucket, Key=KEY)
        with pytest.raises(account.client("s3").exceptions.ClientError):
            account.client("s3").head_object(Bucket=names.bucket, Key=KEY)


def test_an_app_that_is_gone_but_still_listed(offline: Account) -> None:
    stub = stubbed(offline, "amplify")
    stamp = datetime.now(UTC)
    fixed: dict[str, Any] = {"appArn": "a", "description": "", "repository": "", "platform": "WEB"}
    fixed |= {"createTime": stamp, "updateTime": stamp, "environmentVariables": {}}
    fixed |= {"defaultDomain": "d", "enableBranchAutoBuild": False, "enableBasicAuth": False}
    apps = [
        {**fixed, "appId": "d1", "name": "vizinho-toy", "tags": OURS},
        {**fixed, "appId": "d2", "name": "vizinho-toy", "tags": {}},
        {**fixed, "appId": "d3", "name": "vizinho-toy", "tags": OURS},
    ]
    stub.add_response("list_apps", {"apps": apps})
    stub.add_client_error("delete_app", "NotFoundException", expected_params={"appId": "d1"})
    stub.add_response("delete_app", {"app": apps[2]}, {"appId": "d3"})
    assert app.remove(offline, NAMES) is True
    stub.assert_no_pending_responses()


class Nowhere:
    """A client of a service that the region does not have."""

    def get_paginator(self, name: str) -> Any:
        raise EndpointConnectionError(endpoint_url="https://amplify.nowhere.amazonaws.com")


def test_a_region_without_amplify(monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(monkeypatch, "http://127.0.0.1:9", "eu-south-2")
    account = Account()
    account.clients["amplify"] = Nowhere()
    assert app.find(account, NAMES) is None
    with pytest.raises(DeployError, match="no Amplify in eu-south-2") as caught:
        app.require(account)
    assert "--no-page" in caught.value.hint
    point_to(monkeypatch, "http://127.0.0.1:9")
    account = Account()
    app.require(account)
    account.clients["amplify"] = Nowhere()
    with pytest.raises(EndpointConnectionError):
        app.find(account, NAMES)


def test_the_first_query_may_meet_the_version_of_before(
    offline: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def once(url: str, *_: object) -> str:
        asked.append(url)
        if len(asked) < 3:
            raise DeployError("does not find itself")
        return "found"

    monkeypatch.setattr(trial, "try_once", once)
    gallery: Any = None
    found: Any = trial.try_until_right("u", gallery, set())
    assert found == "found"
    assert len(asked) == 3
    asked.clear()
    monkeypatch.setattr(trial, "_PAUSES", (0.0,))
    with pytest.raises(DeployError, match="find itself"):
        trial.try_until_right("u", gallery, set())


def test_a_gallery_in_s3_has_time_and_room_to_be_fetched() -> None:
    """Lambda ends a start after ten seconds, and begins it anew within the time of one query."""
    options = DeployOptions(gallery=Path("x"), name="toy", cache=Path("y"))
    code = function.Code("p/1", "d", 1, uploaded=False)

    def told(size: int) -> dict[str, str]:
        given = {"gallery_digest": "abc", "gallery_bytes": size, "cors": "*"}
        return function.parameters(NAMES, options, code, **given)  # type: ignore[arg-type]

    assert told(50_000_000)["Seconds"] == "30"
    assert int(told(4_000_000_000)["Seconds"]) >= 30 + 4_000_000_000 / 20e6
    largest = 9_500 * 1024**2
    assert int(told(largest)["Seconds"]) <= 900
    assert int(told(largest)["Scratch"]) >= 9_500 * 1.05
    with pytest.raises(DeployError, match="function's disk"):
        told(10_240 * 1024**2)
