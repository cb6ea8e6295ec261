"""The stack: what CloudFormation says, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from botocore.stub import Stubber

from moto_account import REGION, moto_account, point_to
from vizinho.aws.deploy import Names, bucket, stack
from vizinho.aws.deploy.account import Account
from vizinho.errors import DeployError


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_account(monkeypatch) as endpoint:
        yield endpoint


NAMES = Names("toy", "123456789012", REGION)


def _described(status: str, **more: Any) -> dict[str, Any]:
    one = {
        "StackId": "arn:stack",
        "StackName": NAMES.stack,
        "StackStatus": status,
        "CreationTime": datetime.now(UTC),
        "Tags": [{"Key": "vizinho:deployment", "Value": "toy"}],
        **more,
    }
    return {"Stacks": [one]}


@pytest.fixture
def formation(monkeypatch: pytest.MonkeyPatch) -> tuple[Account, Stubber]:
    point_to(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(stack, "_PACE", (0.0, 0.0))
    account = Account()
    stub = Stubber(account.client("cloudformation"))
    stub.activate()
    return account, stub


def test_a_failed_stack_says_what_failed_first(formation: tuple[Account, Stubber]) -> None:
    account, stub = formation
    events = [
        ("Role", "CREATE_FAILED", "Resource creation cancelled"),
        ("ZipFunction", "CREATE_FAILED", "Memory exceeds the account's limit"),
    ]
    given = {
        "StackEvents": [
            {
                "StackId": "arn:stack",
                "EventId": name,
                "StackName": NAMES.stack,
                "LogicalResourceId": name,
                "ResourceType": "AWS::X",
                "Timestamp": datetime.now(UTC),
                "ResourceStatus": state,
                "ResourceStatusReason": reason,
            }
            for name, state, reason in events
        ]
    }
    missing = {"service_error_code": "ValidationError", "service_message": "x does not exist"}
    stub.add_client_error("describe_stacks", **missing)
    stub.add_response("create_change_set", {"Id": "c", "StackId": "arn:stack"})
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
    stub.add_response("execute_change_set", {})
    stub.add_response("describe_stacks", _described("ROLLBACK_COMPLETE"))
    stub.add_response("describe_stack_events", given)
    stub.add_response("describe_stack_events", given)
    said: list[str] = []
    with pytest.raises(DeployError, match="ended at ROLLBACK_COMPLETE") as caught:
        stack.put(account, NAMES, "{}", {}, said.append)
    assert "ZipFunction: Memory exceeds the account's limit" in caught.value.message
    assert "cancelled" not in caught.value.message
    assert said == ["ZipFunction: create failed", "Role: create failed"]
    stub.assert_no_pending_responses()


def test_a_stack_that_never_stood_is_made_anew_after_what_runs_has_ended(
    formation: tuple[Account, Stubber],
) -> None:
    account, stub = formation
    gone = {"service_error_code": "ValidationError", "service_message": "x does not exist"}
    stub.add_response("describe_stacks", _described("ROLLBACK_IN_PROGRESS"))
    stub.add_response("describe_stacks", _described("ROLLBACK_COMPLETE"))
    stub.add_response("describe_stacks", _described("ROLLBACK_COMPLETE"))
    stub.add_response("delete_stack", {})
    stub.add_client_error("describe_stacks", **gone)
    stub.add_response("create_change_set", {"Id": "c", "StackId": "arn:stack"})
    stub.add_response("describe_change_set", {"Status": "CREATE_IN_PROGRESS"})
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
    stub.add_response("execute_change_set", {})
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    stub.add_response("describe_stack_events", {"StackEvents": []})
    said: list[str] = []
    assert stack.put(account, NAMES, "{}", {}, said.append) == "created"
    assert ["waiting" in said[0], "anew" in said[1]] == [True, True]
    stub.assert_no_pending_responses()


def test_nothing_to_change_is_fine(formation: tuple[Account, Stubber]) -> None:
    account, stub = formation
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    stub.add_response("create_change_set", {"Id": "c", "StackId": "arn:stack"})
    reason = "The submitted information didn't contain changes."
    stub.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason})
    stub.add_response("delete_change_set", {})
    assert stack.put(account, NAMES, "{}", {}, print) == "unchanged"
    stub.assert_no_pending_responses()


def test_a_stack_that_stays_busy(
    formation: tuple[Account, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    account, stub = formation
    monkeypatch.setattr(stack, "LONGEST", -1.0)
    stub.add_response("describe_stacks", _described("UPDATE_IN_PROGRESS"))
    stub.add_response("describe_stacks", _described("UPDATE_IN_PROGRESS"))
    with pytest.raises(DeployError, match="still busy"):
        stack.put(account, NAMES, "{}", {}, lambda text: None)


def test_a_stack_that_is_not_ours_is_left_alone(formation: tuple[Account, Stubber]) -> None:
    account, stub = formation
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE", Tags=[]))
    with pytest.raises(DeployError, match="not made by Vizinho"):
        stack.remove(account, NAMES, print)


def test_a_large_template_goes_by_the_bucket(endpoint: str) -> None:
    account = Account()
    names = account.names("toy")
    bucket.make(account, names)
    large = "x" * (stack.INLINE_BYTES + 1)
    told_it = stack._template(account, names, large)
    assert list(told_it) == ["TemplateURL"]
    assert httpx.get(told_it["TemplateURL"], timeout=60).text == large
