"""CloudFormation's API: stacks and change sets, which live on when whoever asked for them dies.

A stand-in: moto's CloudFormation lacks half of the resources a function needs, does all at once
and knows no rollback. This one works in a thread of the account while the stack says
CREATE_IN_PROGRESS and the like, refuses a busy stack, a missing capability and a change set that
changes nothing, and rolls back when a resource fails.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aws_account import stack_view as view
from aws_account.intrinsics import TemplateError
from aws_account.resources import World
from aws_account.stack_request import read_stack, same
from aws_account.stack_work import ResourceFailed, Stack, apply, remove_all
from aws_account.wire import Action, ServiceError

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)


@dataclass
class ChangeSet:
    name: str
    id: str
    stack: Stack
    wanted: Stack
    status: str
    reason: str = ""
    created: datetime | None = None
    on_failure: str = "ROLLBACK"


class Stacks:
    def __init__(self, world: World, template_at: Callable[[str], str]) -> None:
        self.world = world
        self.template_at = template_at
        self.stacks: dict[str, Stack] = {}
        self.sets: dict[str, ChangeSet] = {}
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        reading = view.actions(self)
        names = (
            "CreateStack UpdateStack DeleteStack CreateChangeSet ExecuteChangeSet DeleteChangeSet "
            "UpdateTerminationProtection ContinueUpdateRollback"
        )
        own = {name: getattr(self, _snake(name)) for name in names.split()}
        self.actions: dict[str, Action] = {**reading, **own}

    # What is asked for ---------------------------------------------------------------------

    def create_stack(self, given: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self.living(given["StackName"]):
                raise ServiceError(
                    "AlreadyExistsException", f"Stack [{given['StackName']}] already exists"
                )
            stack = self._new(given["StackName"])
            wanted = self._read(given, stack)
            self._start(stack, wanted, given.get("OnFailure", "ROLLBACK"))
        return {"StackId": stack.id}

    def update_stack(self, given: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stack = self.find(given["StackName"])
            self._refuse_busy(stack)
            wanted = self._read(given, stack)
            if same(stack, wanted):
                raise ServiceError("ValidationError", "No updates are to be performed.")
            self._start(stack, wanted, "ROLLBACK")
        return {"StackId": stack.id}

    def create_change_set(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["StackName"]
        with self._lock:
            stack = self.living(name)
            if given.get("ChangeSetType", "UPDATE") == "CREATE":
                if stack and stack.status != "REVIEW_IN_PROGRESS":
                    raise ServiceError(
                        "ValidationError",
                        f"Stack [{name}] already exists and cannot be created again",
                    )
            elif stack is None or stack.status == "REVIEW_IN_PROGRESS":
                raise ServiceError("ValidationError", f"Stack [{name}] does not exist")
            else:
                self._refuse_busy(stack)
            if any(
                s.name == given["ChangeSetName"] and s.stack is stack for s in self.sets.values()
            ):
                raise ServiceError(
                    "AlreadyExistsException", f"ChangeSet {given['ChangeSetName']} already exists"
                )
            new = stack or self._new(name, keep=False)
            wanted = self._read(given, new)
            self.stacks[new.id] = new
            change = ChangeSet(
                given["ChangeSetName"],
                self.world.arn(
                    "cloudformation", f"changeSet/{given['ChangeSetName']}/{uuid.uuid4()}"
                ),
                new,
                wanted,
                "CREATE_COMPLETE",
                created=datetime.now(UTC),
                on_failure=given.get("OnStackFailure", "ROLLBACK"),
            )
            if stack and same(stack, wanted):
                change.status, change.reason = "FAILED", NO_CHANGES
            self.sets[change.id] = change
        return {"Id": change.id, "StackId": new.id}

    def execute_change_set(self, given: dict[str, Any]) -> None:
        with self._lock:
            change = self.change_set(given)
            if change.status != "CREATE_COMPLETE":
                raise ServiceError(
                    "InvalidChangeSetStatus",
                    f"ChangeSet [{change.id}] cannot be executed in its current status of "
                    f"[{change.status}]",
                )
            self._refuse_busy(change.stack)
            for each in [s for s in self.sets.values() if s.stack is change.stack]:
                del self.sets[each.id]
            self._start(change.stack, change.wanted, change.on_failure)

    def delete_change_set(self, given: dict[str, Any]) -> None:
        with self._lock:
            self.sets.pop(self.change_set(given).id)

    def delete_stack(self, given: dict[str, Any]) -> None:
        with self._lock:
            stack = self.living(given["StackName"])
            if stack is None:
                return  # AWS is content when there is nothing to delete
            if stack.protected:
                raise ServiceError("ValidationError", "TerminationProtection is enabled")
            if stack.status == "DELETE_IN_PROGRESS":
                return
            if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
                raise ServiceError(
                    "ValidationError",
                    f"Stack [{stack.name}] cannot be deleted while in status {stack.status}",
                )
            for each in [s for s in self.sets.values() if s.stack is stack]:
                del self.sets[each.id]
            stack.say("DELETE_IN_PROGRESS", reason="User Initiated")
            self._run(self._delete, stack)

    def update_termination_protection(self, given: dict[str, Any]) -> dict[str, Any]:
        stack = self.find(given["StackName"])
        stack.protected = bool(given["EnableTerminationProtection"])
        return {"StackId": stack.id}

    def continue_update_rollback(self, given: dict[str, Any]) -> None:
        raise ServiceError("ValidationError", "no rollback fails in the emulated account")

    # Looking up ----------------------------------------------------------------------------

    def living(self, name: str) -> Stack | None:
        """The stack of that name or ARN that was not deleted."""
        for stack in self.stacks.values():
            if name in (stack.name, stack.id) and stack.status != "DELETE_COMPLETE":
                return stack
        return None

    def find(self, name: str) -> Stack:
        """The stack of that name, or a deleted one by its ARN; raises ServiceError."""
        found = self.living(name) or self.stacks.get(name)
        if found is None:
            raise ServiceError("ValidationError", f"Stack with id {name} does not exist")
        return found

    def change_set(self, given: dict[str, Any]) -> ChangeSet:
        name = given["ChangeSetName"]
        for change in self.sets.values():
            if change.id == name:
                return change
            in_stack = given.get("StackName") in (change.stack.name, change.stack.id)
            if change.name == name and in_stack:
                return change
        raise ServiceError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def settle(self) -> None:
        """Waits until no stack is busy."""
        for thread in list(self._threads):
            thread.join(120)

    # What happens --------------------------------------------------------------------------

    def _new(self, name: str, keep: bool = True) -> Stack:
        stack = Stack(
            name,
            self.world.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"),
            "REVIEW_IN_PROGRESS",
        )
        if keep:
            self.stacks[stack.id] = stack
        return stack

    def _read(self, given: dict[str, Any], stack: Stack) -> Stack:
        try:
            return read_stack(given, stack, self.world.region, self.template_at)
        except ServiceError:
            if stack.status == "REVIEW_IN_PROGRESS" and not stack.body:
                self.stacks.pop(stack.id, None)
            raise

    def _refuse_busy(self, stack: Stack) -> None:
        stuck = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
        busy = stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS"
        if busy or stack.status in stuck:
            raise ServiceError(
                "ValidationError",
                f"Stack:{stack.id} is in {stack.status} state and can not be updated.",
            )

    def _start(self, stack: Stack, wanted: Stack, on_failure: str) -> None:
        new = not stack.resources and stack.status == "REVIEW_IN_PROGRESS"
        before = copy.copy(stack)
        stack.body, stack.template = wanted.body, wanted.template
        stack.parameters, stack.tags = wanted.parameters, wanted.tags
        stack.capabilities = wanted.capabilities
        self.world.stack_tags = {each["Key"]: each["Value"] for each in stack.tags}
        stack.updated = None if new else datetime.now(UTC)
        stack.say("CREATE_IN_PROGRESS" if new else "UPDATE_IN_PROGRESS", reason="User Initiated")
        if new:
            self._run(self._create, stack, on_failure)
        else:
            self._run(self._update, stack, before)

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _create(self, stack: Stack, on_failure: str) -> None:
        try:
            apply(stack, self.world)
        except (ResourceFailed, TemplateError) as error:
            if on_failure == "DO_NOTHING":
                stack.say("CREATE_FAILED", reason=str(error))
                return
            gone = on_failure == "DELETE"
            stack.say("DELETE_IN_PROGRESS" if gone else "ROLLBACK_IN_PROGRESS", reason=str(error))
            remove_all(stack, self.world)
            stack.say("DELETE_COMPLETE" if gone else "ROLLBACK_COMPLETE")
        else:
            stack.say("CREATE_COMPLETE")

    def _update(self, stack: Stack, before: Stack) -> None:
        try:
            apply(stack, self.world)
        except (ResourceFailed, TemplateError) as error:
            stack.say("UPDATE_ROLLBACK_IN_PROGRESS", reason=str(error))
            stack.body, stack.template = before.body, before.template
            stack.parameters, stack.tags = before.parameters, before.tags
            apply(stack, self.world)
            stack.say("UPDATE_ROLLBACK_COMPLETE")
        else:
            stack.say("UPDATE_COMPLETE")

    def _delete(self, stack: Stack) -> None:
        try:
            remove_all(stack, self.world)
        except ResourceFailed as error:
            stack.say("DELETE_FAILED", reason=str(error))
        else:
            stack.deleted = datetime.now(UTC)
            stack.say("DELETE_COMPLETE")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
