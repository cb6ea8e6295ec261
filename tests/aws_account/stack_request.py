"""What a request for a stack asks for, checked as CloudFormation checks it before it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_account.intrinsics import TemplateError, load_template, parameters_of
from aws_account.stack_work import Stack
from aws_account.transform import transform, transforms
from aws_account.wire import ServiceError

MAX_BODY = 51_200


def read_stack(
    given: dict[str, Any], stack: Stack, region: str, template_at: Callable[[str], str]
) -> Stack:
    """The stack as ``given`` asks for it: template, parameters, tags; raises ServiceError."""
    body = given.get("TemplateBody") or ""
    if given.get("UsePreviousTemplate"):
        body = stack.body
    elif given.get("TemplateURL"):
        body = template_at(given["TemplateURL"])
    elif len(body.encode()) > MAX_BODY:
        raise ServiceError(
            "ValidationError",
            "1 validation error detected: Value at 'templateBody' failed to satisfy "
            f"constraint: Member must have length less than or equal to {MAX_BODY}",
        )
    capabilities = list(given.get("Capabilities", []))
    values = {
        each["ParameterKey"]: stack.parameters[each["ParameterKey"]]
        if each.get("UsePreviousValue")
        else each["ParameterValue"]
        for each in given.get("Parameters", [])
    }
    try:
        template = load_template(body)
        parameters = parameters_of(template, values)
        if transforms(template) and "CAPABILITY_AUTO_EXPAND" not in capabilities:
            raise ServiceError(
                "InsufficientCapabilitiesException",
                "Requires capabilities : [CAPABILITY_AUTO_EXPAND]",
            )
        processed = transform(template, parameters, region)
    except TemplateError as error:
        raise ServiceError("ValidationError", str(error)) from None
    need = _needed(processed)
    if need and not {need, "CAPABILITY_NAMED_IAM"} & set(capabilities):
        raise ServiceError("InsufficientCapabilitiesException", f"Requires capabilities : [{need}]")
    wanted = Stack(stack.name, stack.id, "")
    wanted.body, wanted.template, wanted.parameters = body, processed, parameters
    wanted.tags, wanted.capabilities = list(given.get("Tags", [])), capabilities
    return wanted


def same(stack: Stack, wanted: Stack) -> bool:
    """Whether a stack is already what is wanted."""
    kept = (stack.template, stack.parameters, sorted(map(str, stack.tags)))
    return kept == (wanted.template, wanted.parameters, sorted(map(str, wanted.tags)))


def _needed(template: dict[str, Any]) -> str:
    """The capability that a template's roles ask for."""
    roles = [r for r in template["Resources"].values() if r["Type"].startswith("AWS::IAM::")]
    named = any("RoleName" in role.get("Properties", {}) for role in roles)
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if roles else ""
