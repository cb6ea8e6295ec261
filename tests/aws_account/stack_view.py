"""CloudFormation's API, the half that only looks: describe, list, get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_account.intrinsics import TemplateError, load_template
from aws_account.stack_work import Resource, Stack, evaluator
from aws_account.wire import Action, ServiceError

if TYPE_CHECKING:
    from aws_account.stacks import Stacks


def actions(stacks: Stacks) -> dict[str, Action]:
    """The reading actions over ``stacks``, by name."""

    def describe_stacks(given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("StackName")
        living = [s for s in stacks.stacks.values() if s.status != "DELETE_COMPLETE"]
        found = [stacks.find(name)] if name else living
        return {"Stacks": [_stack(each) for each in found]}

    def list_stacks(given: dict[str, Any]) -> dict[str, Any]:
        wanted = given.get("StackStatusFilter") or []
        found = [s for s in stacks.stacks.values() if not wanted or s.status in wanted]
        return {"StackSummaries": [_stack(each) for each in found]}

    def describe_stack_events(given: dict[str, Any]) -> dict[str, Any]:
        return {"StackEvents": stacks.find(given["StackName"]).events[::-1]}

    def describe_stack_resources(given: dict[str, Any]) -> dict[str, Any]:
        stack = stacks.find(given["StackName"])
        return {"StackResources": _resources(stack, given.get("LogicalResourceId"))}

    def describe_stack_resource(given: dict[str, Any]) -> dict[str, Any]:
        found = _resources(stacks.find(given["StackName"]), given["LogicalResourceId"])
        if not found:
            raise ServiceError("ValidationError", f"no resource {given['LogicalResourceId']}")
        return {"StackResourceDetail": found[0]}

    def list_stack_resources(given: dict[str, Any]) -> dict[str, Any]:
        return {"StackResourceSummaries": _resources(stacks.find(given["StackName"]), None)}

    def get_template(given: dict[str, Any]) -> dict[str, Any]:
        stack = stacks.find(given["StackName"])
        stage = given.get("TemplateStage", "Original")
        body = stack.body if stage == "Original" else json.dumps(stack.template)
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    def validate_template(given: dict[str, Any]) -> dict[str, Any]:
        try:
            template = load_template(given.get("TemplateBody") or "")
        except TemplateError as error:
            raise ServiceError("ValidationError", str(error)) from None
        parameters = [
            {"ParameterKey": name, "DefaultValue": about.get("Default")}
            for name, about in template.get("Parameters", {}).items()
        ]
        return {"Parameters": parameters, "Description": template.get("Description", "")}

    def describe_change_set(given: dict[str, Any]) -> dict[str, Any]:
        change = stacks.change_set(given)
        ready = change.status == "CREATE_COMPLETE"
        return {
            "ChangeSetName": change.name,
            "ChangeSetId": change.id,
            "StackId": change.stack.id,
            "StackName": change.stack.name,
            "CreationTime": change.created,
            "ExecutionStatus": "AVAILABLE" if ready else "UNAVAILABLE",
            "Status": change.status,
            "StatusReason": change.reason or None,
            "Parameters": _parameters(change.wanted),
            "Tags": change.wanted.tags,
            "Capabilities": change.wanted.capabilities,
            "Changes": _changes(stacks, change.stack, change.wanted) if ready else [],
        }

    def list_change_sets(given: dict[str, Any]) -> dict[str, Any]:
        stack = stacks.find(given["StackName"])
        found = [s for s in stacks.sets.values() if s.stack is stack]
        return {
            "Summaries": [
                {
                    "ChangeSetName": s.name,
                    "ChangeSetId": s.id,
                    "Status": s.status,
                    "StackId": stack.id,
                }
                for s in found
            ]
        }

    local = dict(locals())
    names = (
        "DescribeStacks ListStacks DescribeStackEvents DescribeStackResources "
        "DescribeStackResource ListStackResources GetTemplate ValidateTemplate "
        "DescribeChangeSet ListChangeSets"
    )
    snake = {name.replace("_", ""): found for name, found in local.items()}
    return {name: snake[name.lower()] for name in names.split()}


def _parameters(stack: Stack) -> list[dict[str, str]]:
    return [
        {
            "ParameterKey": name,
            "ParameterValue": ",".join(value) if isinstance(value, list) else str(value),
        }
        for name, value in stack.parameters.items()
    ]


def _stack(stack: Stack) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "Description": stack.template.get("Description"),
        "Parameters": _parameters(stack),
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "Capabilities": stack.capabilities,
        "Outputs": stack.outputs,
        "Tags": stack.tags,
        "DisableRollback": False,
        "EnableTerminationProtection": stack.protected,
    }


def _resources(stack: Stack, logical: str | None) -> list[dict[str, Any]]:
    def show(resource: Resource) -> dict[str, Any]:
        return {
            "StackName": stack.name,
            "StackId": stack.id,
            "LogicalResourceId": resource.logical,
            "PhysicalResourceId": resource.made.reference,
            "ResourceType": resource.kind,
            "ResourceStatus": resource.status,
            "Timestamp": stack.updated or stack.created,
            "LastUpdatedTimestamp": stack.updated or stack.created,
        }

    return [show(r) for r in stack.resources.values() if logical in (None, r.logical)]


def _changes(stacks: Stacks, stack: Stack, wanted: Stack) -> list[dict[str, Any]]:
    """What a change set would do, by templates alone: which resources come, change and go."""
    finder = evaluator(wanted, stacks.world)
    new = {
        name: about
        for name, about in wanted.template["Resources"].items()
        if finder.holds(about.get("Condition"))
    }
    old = stack.template.get("Resources", {})
    same_parameters = stack.parameters == wanted.parameters
    found = []
    for name in {**stack.resources, **new}:
        stands = name in new and name in stack.resources and old.get(name) == new[name]
        if stands and same_parameters:
            continue
        there = stack.resources.get(name)
        change = {
            "Action": "Remove" if name not in new else "Modify" if there else "Add",
            "LogicalResourceId": name,
            "PhysicalResourceId": there.made.reference if there else None,
            "ResourceType": (new.get(name) or old[name])["Type"],
        }
        found.append({"Type": "Resource", "ResourceChange": change})
    return found
