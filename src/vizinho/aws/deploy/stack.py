"""The stack: everything the template names, made, changed and removed by CloudFormation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import TEMPLATES
from vizinho.aws.deploy.mishaps import code_of
from vizinho.aws.deploy.options import TAG, Names
from vizinho.errors import DeployError

INLINE_BYTES = 51_200
"""CloudFormation takes a larger template only from a bucket."""
LONGEST = 30 * 60.0
_PACE = (0.3, 5.0)
# A stack that never stood: there is nothing to update, only to remove.
_HOPELESS = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
_SAME = ("didn't contain changes", "No updates are to be performed")
Say = Callable[[str], None]


def find(account: Account, names: Names) -> dict[str, Any] | None:
    """The stack as CloudFormation describes it; None if there is none. Raises DeployError when one
    of that name is not ours."""
    client = account.client("cloudformation")
    try:
        (found,) = client.describe_stacks(StackName=names.stack)["Stacks"]
    except client.exceptions.ClientError as error:
        if code_of(error) == "ValidationError" and "not exist" in str(error):
            return None
        raise
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
    # Killed before its first change set was executed: it holds nothing, and tags neither.
    unborn = found["StackStatus"] == "REVIEW_IN_PROGRESS" and TAG not in tags
    if tags.get(TAG) != names.name and not unborn:
        raise DeployError(
            f"The stack {names.stack} exists, but was not made by Vizinho.", "Take another --name."
        )
    return dict(found)


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """The stack's outputs by name."""
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def put(
    account: Account, names: Names, template: str, parameters: Mapping[str, str], say: Say
) -> str:
    """Make the stack or bring it up to date; returns ``created``, ``updated`` or ``unchanged``.

    What an interrupted run left is waited for, or removed where it can't be gone on with. Raises
    DeployError with the reasons of what failed.
    """
    stack = _settled(account, names, say)
    client = account.client("cloudformation")
    new = stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS"
    change = f"vizinho-{datetime.now(UTC):%Y%m%dt%H%M%S%f}"
    # A stack that is to be born goes by its name. The name of one that stands may be taken by
    # another once it is removed: its number may not.
    name = names.stack if stack is None or new else stack["StackId"]
    made = client.create_change_set(
        StackName=name,
        ChangeSetName=change,
        ChangeSetType="CREATE" if new else "UPDATE",
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Tags=[{"Key": key, "Value": value} for key, value in names.tags.items()],
        **_template(account, names, template),
    )
    name = made["StackId"]
    if not _change_set_is_ready(client, name, change):
        client.delete_change_set(StackName=name, ChangeSetName=change)
        return "unchanged"
    began = datetime.now(UTC)
    client.execute_change_set(StackName=name, ChangeSetName=change)
    wanted = "CREATE_COMPLETE" if new else "UPDATE_COMPLETE"
    stack = _wait(client, name, say, began)
    if stack is None or stack["StackStatus"] not in (wanted, f"{wanted}_CLEANUP_IN_PROGRESS"):
        raise _failed(client, name, stack, began)
    return "created" if new else "updated"


def remove(account: Account, names: Names, say: Say) -> bool:
    """Remove the stack and wait; returns False when there was none. Raises DeployError."""
    client = account.client("cloudformation")
    stack = find(account, names)
    if stack is None:
        return False
    name = stack["StackId"]
    if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] not in (
        "REVIEW_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
    ):
        say(f"The stack is still at {stack['StackStatus']}: waiting.")
        _wait(client, name, say)
    began = datetime.now(UTC)
    client.delete_stack(StackName=name)
    left = _wait(client, name, say, began)
    if left is not None and left["StackStatus"] != "DELETE_COMPLETE":
        raise _failed(client, name, left, began)
    return True


def _settled(account: Account, names: Names, say: Say) -> dict[str, Any] | None:
    """The stack when nothing is going on any more and it can be changed; None if there is none."""
    client = account.client("cloudformation")
    stack = find(account, names)
    if stack is not None and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return stack
    if stack is not None and stack["StackStatus"].endswith("_IN_PROGRESS"):
        say(f"The stack is still at {stack['StackStatus']} from an earlier run: waiting.")
        stack = _wait(client, stack["StackId"], say)
    if stack is not None and stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        say("The stack's last update could not be undone: trying that again.")
        client.continue_update_rollback(StackName=stack["StackId"])
        stack = _wait(client, stack["StackId"], say)
    if stack is not None and stack["StackStatus"] in _HOPELESS:
        say(f"The stack never came to stand ({stack['StackStatus']}): making it anew.")
        remove(account, names, say)
        return None
    if stack is not None and stack["StackStatus"] == "DELETE_COMPLETE":
        return None
    return stack


def _template(account: Account, names: Names, template: str) -> dict[str, str]:
    if len(template.encode()) <= INLINE_BYTES:
        return {"TemplateBody": template}
    s3, key = account.client("s3"), f"{TEMPLATES}template.yaml"
    s3.put_object(Bucket=names.bucket, Key=key, Body=template.encode())
    asked = {"Bucket": names.bucket, "Key": key}
    return {"TemplateURL": s3.generate_presigned_url("get_object", Params=asked)}


def _change_set_is_ready(client: Any, stack: str, change: str) -> bool:
    """Waits until the change set can be executed; False when it would change nothing."""
    for _ in _ticks():
        found = client.describe_change_set(StackName=stack, ChangeSetName=change)
        status, reason = found["Status"], found.get("StatusReason", "")
        if status == "CREATE_COMPLETE":
            return True
        if status == "FAILED":
            if any(same in reason for same in _SAME):
                return False
            raise DeployError(f"CloudFormation can't make the change: {reason}")
    raise AssertionError("unreachable")  # _ticks raises first


def _wait(client: Any, name: str, say: Say, began: datetime | None = None) -> dict[str, Any] | None:
    """The stack once nothing is going on; None once it is gone. Says what is being done."""
    told: set[str] = set()
    for _ in _ticks():
        try:
            (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        except client.exceptions.ClientError as error:
            if code_of(error) == "ValidationError" and "not exist" in str(error):
                return None
            raise
        if began is not None:
            for event in reversed(_events(client, name, began)):
                if event["EventId"] not in told:
                    told.add(event["EventId"])
                    _tell(event, say)
        status = str(stack["StackStatus"])
        # Removing old versions goes on by itself, but blocks the next update; so wait for it.
        if not status.endswith("_IN_PROGRESS"):
            return dict(stack)
    raise AssertionError("unreachable")  # _ticks raises first


def _tell(event: Mapping[str, Any], say: Say) -> None:
    status = event.get("ResourceStatus", "")
    if event.get("ResourceType") == "AWS::CloudFormation::Stack":
        return
    if status.endswith(("_COMPLETE", "_FAILED")):
        words = status.replace("_", " ").lower()
        say(f"{event.get('LogicalResourceId')}: {words}")


def _events(client: Any, name: str, began: datetime) -> list[dict[str, Any]]:
    """Events since ``began``, newest first."""
    try:
        found = client.describe_stack_events(StackName=name)["StackEvents"]
    except client.exceptions.ClientError:
        return []
    # Whole seconds: clocks here and there need not agree better than that.
    since = began.timestamp() - 5
    return [event for event in found if event["Timestamp"].timestamp() >= since]


def _failed(
    client: Any, name: str, stack: Mapping[str, Any] | None, began: datetime
) -> DeployError:
    status = stack["StackStatus"] if stack else "gone"
    causes = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in reversed(_events(client, name, began))
        if event.get("ResourceStatus", "").endswith("_FAILED")
        # What was stopped because something else failed is no cause.
        and "cancelled" not in event.get("ResourceStatusReason", "").lower()
    ]
    reason = (stack or {}).get("StackStatusReason")
    told = "; ".join(causes[:3]) or reason or "CloudFormation gives no reason"
    return DeployError(
        f"The stack ended at {status}. {told}",
        "What stood before still stands. "
        + (
            "Leave SnapStart out with --no-snapstart."
            if "snapstart" in told.lower()
            else "Mend the cause and run it again."
        ),
    )


def _ticks() -> Any:
    """Goes round with growing pauses; raises DeployError after `LONGEST` seconds."""
    pause, longest = _PACE
    end = time.monotonic() + LONGEST
    yield
    while time.monotonic() < end:
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
        yield
    raise DeployError(
        f"CloudFormation is still busy after {LONGEST / 60:.0f} minutes.",
        "Look at the stack in the console; run this again once it has settled.",
    )
