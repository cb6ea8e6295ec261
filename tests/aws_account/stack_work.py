"""How a stack comes to be what its template says: create, update, replace, delete, roll back.

A stand-in for CloudFormation's engine. Resources are made one after the other in the order of
their references, by the providers in `resources`; each takes a moment, as in the cloud, so that a
deployer can be killed while a stack is busy.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aws_account.intrinsics import Evaluator, TemplateError, mentioned
from aws_account.resources import TYPES, Made, MustReplace, World

PACE = 0.02
"""Seconds one resource takes beyond the work itself."""


@dataclass
class Resource:
    logical: str
    kind: str
    properties: dict[str, Any]
    made: Made
    policy: str = "Delete"
    status: str = "CREATE_COMPLETE"


@dataclass
class Stack:
    name: str
    id: str
    status: str
    reason: str = ""
    body: str = ""
    template: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime | None = None
    deleted: datetime | None = None
    protected: bool = False

    def say(self, status: str, logical: str = "", reason: str = "") -> None:
        """An event of the stack, or of one of its resources."""
        resource = self.resources.get(logical)
        self.events.append(
            {
                "StackId": self.id,
                "EventId": str(uuid.uuid4()),
                "StackName": self.name,
                "LogicalResourceId": logical or self.name,
                "PhysicalResourceId": resource.made.physical if resource else "",
                "ResourceType": self.kind_of(logical),
                "Timestamp": datetime.now(UTC),
                "ResourceStatus": status,
                "ResourceStatusReason": reason or None,
            }
        )
        if not logical:
            self.reason = reason
            self.status = status

    def kind_of(self, logical: str) -> str:
        if not logical:
            return "AWS::CloudFormation::Stack"
        return str(self.template.get("Resources", {}).get(logical, {}).get("Type", ""))


class ResourceFailed(Exception):
    """A resource can't be made or changed."""


def in_order(template: Mapping[str, Any]) -> Iterator[str]:
    """The resources, each after those it refers to."""
    resources = template["Resources"]
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in done:
            return
        if name in path:
            raise TemplateError(f"Circular dependency between resources: {[*path, name]}")
        depends = resources[name].get("DependsOn", [])
        depends = [depends] if isinstance(depends, str) else depends
        for other in [*depends, *mentioned(resources[name].get("Properties", {}))]:
            if other in resources:
                yield from visit(other, (*path, name))
        done.add(name)
        yield name

    for name in resources:
        yield from visit(name, ())


def evaluator(stack: Stack, world: World) -> Evaluator:
    known = {
        **stack.parameters,
        "AWS::Region": world.region,
        "AWS::AccountId": world.account,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::StackName": stack.name,
        "AWS::StackId": stack.id,
        "AWS::NotificationARNs": [],
    }

    def reference(name: str) -> Any:
        if name not in stack.resources:
            raise TemplateError(f"Unresolved resource dependencies [{name}]")
        return stack.resources[name].made.reference

    def attribute(name: str, wanted: str) -> Any:
        made = stack.resources[name].made if name in stack.resources else None
        if made is None or wanted not in made.attributes:
            raise TemplateError(f"Resource {name} does not have an attribute {wanted}")
        return made.attributes[wanted]

    return Evaluator(stack.template, known, reference, attribute)


def apply(stack: Stack, world: World) -> None:
    """Makes the stack's resources what its template says; raises ResourceFailed at the first that
    can't be, with what was made until then in ``stack.resources``."""
    finder = evaluator(stack, world)
    wanted = []
    doomed: list[Resource] = []
    for logical in in_order(stack.template):
        about = stack.template["Resources"][logical]
        if not finder.holds(about.get("Condition")):
            continue
        wanted.append(logical)
        try:
            properties = finder.value(about.get("Properties", {}))
            old = _make(stack, world, logical, about, properties)
        except Exception as error:  # whatever it is, the stack fails with it
            stack.say("CREATE_FAILED", logical, str(error))
            raise ResourceFailed(
                f"The following resource(s) failed: [{logical}]. {error}"
            ) from error
        if old is not None:
            doomed.append(old)
    doomed += [r for name, r in reversed(stack.resources.items()) if name not in wanted]
    stack.outputs = outputs_of(stack, finder)
    for resource in doomed:
        if stack.resources.get(resource.logical) is resource:
            del stack.resources[resource.logical]
        remove(stack, world, resource)


def _make(
    stack: Stack, world: World, logical: str, about: Mapping[str, Any], properties: dict[str, Any]
) -> Resource | None:
    """Creates or changes one resource; returns the one it replaced, which is to be deleted."""
    kind = about["Type"]
    if kind not in TYPES:
        raise ResourceFailed(f"the emulated account does not know resources of type {kind}")
    provider = TYPES[kind]
    there = stack.resources.get(logical)
    policy = about.get("DeletionPolicy", "Delete")
    if there and there.kind == kind:
        there.policy = policy
        if there.properties == properties:
            return None
        stack.say("UPDATE_IN_PROGRESS", logical)
        time.sleep(PACE)
        try:
            there.made = provider.update(world, there.made, there.properties, properties)
        except MustReplace:
            pass
        else:
            there.properties, there.status = properties, "UPDATE_COMPLETE"
            stack.say("UPDATE_COMPLETE", logical)
            return None
    stack.say("CREATE_IN_PROGRESS", logical)
    time.sleep(PACE)
    name = f"{stack.name}-{logical}-{uuid.uuid4().hex[:12].upper()}"
    made = provider.create(world, name, properties)
    stack.resources[logical] = Resource(logical, kind, properties, made, policy)
    stack.say("CREATE_COMPLETE", logical)
    if there:
        there.policy = about.get("UpdateReplacePolicy", policy)
    return there


def remove(stack: Stack, world: World, resource: Resource) -> None:
    """Deletes one resource, unless its policy keeps it."""
    if resource.policy == "Retain":
        stack.say("DELETE_SKIPPED", resource.logical)
        return
    stack.say("DELETE_IN_PROGRESS", resource.logical)
    time.sleep(PACE)
    TYPES[resource.kind].delete(world, resource.made, resource.properties)
    stack.say("DELETE_COMPLETE", resource.logical)


def remove_all(stack: Stack, world: World) -> None:
    """Deletes each resource before those it refers to; raises ResourceFailed when one stays."""
    order = [name for name in in_order(stack.template) if name in stack.resources]
    for logical in reversed(order):
        resource = stack.resources[logical]
        try:
            remove(stack, world, resource)
        except Exception as error:
            stack.say("DELETE_FAILED", logical, str(error))
            message = f"The following resource(s) failed to delete: [{logical}]. {error}"
            raise ResourceFailed(message) from error
        del stack.resources[logical]


def outputs_of(stack: Stack, finder: Evaluator) -> list[dict[str, str]]:
    found = []
    for name, about in stack.template.get("Outputs", {}).items():
        if finder.holds(about.get("Condition")):
            output = {"OutputKey": name, "OutputValue": str(finder.value(about["Value"]))}
            if "Description" in about:
                output["Description"] = about["Description"]
            found.append(output)
    return found
