"""What a CloudFormation template's functions come to.

A stand-in: AWS evaluates these inside CloudFormation. Known are Ref, Fn::GetAtt, Fn::Sub, Fn::Join,
Fn::Select, Fn::Split, Fn::If, Fn::Equals, Fn::And, Fn::Or, Fn::Not, Fn::FindInMap and Condition;
another one is an error, so that a template that uses it can't pass here unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

ABSENT = object()
"""``AWS::NoValue``: the property it stands for is left out."""

_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


class TemplateError(Exception):
    """The template can't be what AWS would take."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref x``, ``!GetAtt a.b`` and the like."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
# A date such as 2012-10-17 stays the text it is in a policy.
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_template(text: str) -> dict[str, Any]:
    """A template's text, YAML or JSON, as plain objects with the long forms of functions."""
    try:
        template = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise TemplateError(f"Template format error: YAML not well-formed. {error}") from None
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    return template


def parameters_of(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters with their defaults; raises TemplateError as AWS would refuse."""
    declared = template.get("Parameters", {})
    for name in given:
        if name not in declared:
            raise TemplateError(f"Parameters: [{name}] do not exist in the template")
    values: dict[str, Any] = {}
    for name, about in declared.items():
        value = given.get(name, about.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        allowed = [str(each) for each in about.get("AllowedValues", [])]
        if allowed and str(value) not in allowed:
            raise TemplateError(
                f"Parameter {name} failed to satisfy constraint: "
                f"Parameter '{name}' must be one of AllowedValues"
            )
        pattern = about.get("AllowedPattern")
        if pattern and not re.fullmatch(pattern, str(value)):
            raise TemplateError(
                f"Parameter {name} failed to satisfy constraint: "
                f"Parameter '{name}' must match pattern {pattern}"
            )
        if about.get("Type") == "Number":
            _check_number(name, value, about)
        is_list = str(about.get("Type", "")).startswith(("CommaDelimitedList", "List<"))
        values[name] = str(value).split(",") if is_list else str(value)
    return values


def _check_number(name: str, value: Any, about: Mapping[str, Any]) -> None:
    number = float(value)
    low, high = about.get("MinValue", number), about.get("MaxValue", number)
    if not float(low) <= number <= float(high):
        raise TemplateError(
            f"Parameter {name} failed to satisfy constraint: out of {low}..{high}: {value}"
        )


def mentioned(value: Any) -> Iterator[str]:
    """Names that a value refers to (resources, parameters, pseudo parameters)."""
    if isinstance(value, list):
        for each in value:
            yield from mentioned(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield str(inner)
            elif key == "Fn::GetAtt":
                yield inner[0] if isinstance(inner, list) else str(inner).split(".")[0]
            elif key == "Fn::Sub":
                text = inner[0] if isinstance(inner, list) else inner
                yield from (name.split(".")[0] for name in _PLACEHOLDER.findall(text))
                if isinstance(inner, list):
                    yield from mentioned(inner[1])
            else:
                yield from mentioned(inner)


class Evaluator:
    """Evaluates one template for one set of parameters.

    ``known`` has parameters and pseudo parameters; ``reference`` answers Ref of a resource and
    ``attribute`` its attributes, both asked only for resources that stand already.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        known: Mapping[str, Any],
        reference: Callable[[str], Any],
        attribute: Callable[[str, str], Any],
    ) -> None:
        self.template = template
        self.known = known
        self.reference = reference
        self.attribute = attribute

    def holds(self, condition: str | None) -> bool:
        """Whether the condition of that name is true; none at all is."""
        if condition is None:
            return True
        conditions = self.template.get("Conditions", {})
        if condition not in conditions:
            raise TemplateError(f"Template error: unresolved condition dependency {condition}")
        return bool(self.value(conditions[condition]))

    def value(self, given: Any) -> Any:
        """``given`` with every function in it evaluated, and absent properties left out."""
        if isinstance(given, list):
            return [each for each in map(self.value, given) if each is not ABSENT]
        if not isinstance(given, dict):
            return given
        if len(given) == 1:
            ((name, argument),) = given.items()
            if name in ("Ref", "Condition") or str(name).startswith("Fn::"):
                return self._function(name, argument)
        found = {key: self.value(each) for key, each in given.items()}
        return {key: each for key, each in found.items() if each is not ABSENT}

    def _function(self, name: str, argument: Any) -> Any:
        if name == "Condition" and not isinstance(argument, str):
            return {"Condition": self.value(argument)}  # a policy's, not a template's
        if name == "Fn::If":
            return self.value(argument[1] if self.holds(argument[0]) else argument[2])
        if name == "Fn::Sub":
            return self._sub(argument)
        if name == "Ref":
            return self._ref(argument)
        if name == "Condition":
            return self.holds(argument)
        values = self.value(argument)
        match name:
            case "Fn::GetAtt":
                parts = values if isinstance(values, list) else values.split(".", 1)
                return self.attribute(parts[0], parts[1])
            case "Fn::Join":
                return str(values[0]).join(str(each) for each in values[1])
            case "Fn::Select":
                return values[1][int(values[0])]
            case "Fn::Split":
                return str(values[1]).split(values[0])
            case "Fn::Equals":
                return str(values[0]) == str(values[1])
            case "Fn::And":
                return all(values)
            case "Fn::Or":
                return any(values)
            case "Fn::Not":
                return not values[0]
            case "Fn::FindInMap":
                return self.template["Mappings"][values[0]][values[1]][values[2]]
        raise TemplateError(f"the emulated account does not know the function {name}")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        if name in self.known:
            return self.known[name]
        return self.reference(name)

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = self.value(own)

        def replace(found: re.Match[str]) -> str:
            name = found.group(1).strip()
            if name in own:
                return str(own[name])
            resource, dot, attribute = name.partition(".")
            return str(self.attribute(resource, attribute) if dot else self._ref(name))

        return _PLACEHOLDER.sub(replace, text).replace("${!", "${")
