"""The resources a stack may have, each made by a call to moto's API of that service.

Real as far as moto is: a role, a log group, an alarm or a function made here is seen by boto3 like
any other. A type that is not in `TYPES` makes its stack fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from aws_account.functions import Functions


@dataclass
class World:
    """What providers work with: clients on moto, and the functions that run here."""

    region: str
    account: str
    clients: dict[str, Any]
    functions: Functions
    stack_tags: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """Types whose creation fails, with the reason: for tests of a stack that fails."""

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass
class Made:
    """A resource that stands: its physical name, what Ref gives, and what GetAtt gives."""

    physical: str
    reference: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reference = self.reference or self.physical


class MustReplace(Exception):
    """A change that needs a new resource instead of the old one."""


class Provider(Protocol):
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made: ...
    def update(
        self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]
    ) -> Made: ...
    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None: ...


class Role:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        iam = world.clients["iam"]
        name = given.get("RoleName") or name[:64]
        found = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(given["AssumeRolePolicyDocument"]),
            Tags=_tags(world, given),
        )
        try:
            self._policies(iam, name, given)
        except Exception:
            self.delete(world, Made(name), given)
            raise
        role = found["Role"]
        return Made(name, attributes={"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def _policies(self, iam: Any, name: str, given: dict[str, Any]) -> None:
        wanted = {each["PolicyName"]: each["PolicyDocument"] for each in given.get("Policies", [])}
        for policy, document in wanted.items():
            iam.put_role_policy(
                RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            if policy not in wanted:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        if old.get("RoleName") != new.get("RoleName"):
            raise MustReplace
        document = json.dumps(new["AssumeRolePolicyDocument"])
        world.clients["iam"].update_assume_role_policy(
            RoleName=made.physical, PolicyDocument=document
        )
        self._policies(world.clients["iam"], made.physical, new)
        return made

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        self._policies(world.clients["iam"], made.physical, {})
        world.clients["iam"].delete_role(RoleName=made.physical)


class LogGroup:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        logs = world.clients["logs"]
        name = given.get("LogGroupName") or name
        tags = {each["Key"]: each["Value"] for each in _tags(world, given)}
        logs.create_log_group(logGroupName=name, tags=tags)
        self._retention(logs, name, given)
        return Made(name, attributes={"Arn": world.arn("logs", f"log-group:{name}:*")})

    def _retention(self, logs: Any, name: str, given: dict[str, Any]) -> None:
        if "RetentionInDays" in given:
            days = int(given["RetentionInDays"])
            logs.put_retention_policy(logGroupName=name, retentionInDays=days)

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        if old.get("LogGroupName") != new.get("LogGroupName"):
            raise MustReplace
        self._retention(world.clients["logs"], made.physical, new)
        return made

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.clients["logs"].delete_log_group(logGroupName=made.physical)


_NUMBERS = {"Period": int, "EvaluationPeriods": int, "Threshold": float}


class Alarm:
    """CloudFormation's properties are the API's own."""

    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        name = given.get("AlarmName") or name
        numbers = {k: make(given[k]) for k, make in _NUMBERS.items() if k in given}
        world.clients["cloudwatch"].put_metric_alarm(
            **{**given, **numbers, "AlarmName": name, "Tags": _tags(world, given)}
        )
        return Made(name, attributes={"Arn": world.arn("cloudwatch", f"alarm:{name}")})

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        if old.get("AlarmName") != new.get("AlarmName"):
            raise MustReplace
        return self.create(world, made.physical, new)

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.clients["cloudwatch"].delete_alarms(AlarmNames=[made.physical])


class FailsIfTold:
    """Another provider, but for the types that a test has made to fail."""

    def __init__(self, kind: str, provider: Provider) -> None:
        self.kind = kind
        self.provider = provider

    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        if self.kind in world.faults:
            raise RuntimeError(world.faults[self.kind])
        return self.provider.create(world, name, given)

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        return self.provider.update(world, made, old, new)

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        self.provider.delete(world, made, given)


def _tags(world: World, given: dict[str, Any]) -> list[dict[str, str]]:
    """The resource's tags over the stack's, which CloudFormation hands on."""
    own = given.get("Tags", [])
    listed = own.items() if isinstance(own, dict) else [(t["Key"], t["Value"]) for t in own]
    return [{"Key": k, "Value": v} for k, v in {**world.stack_tags, **dict(listed)}.items()]


def _all() -> Iterator[tuple[str, Provider]]:
    from aws_account import resource_api, resource_lambda

    yield "AWS::IAM::Role", Role()
    yield "AWS::Logs::LogGroup", LogGroup()
    yield "AWS::CloudWatch::Alarm", Alarm()
    yield from resource_lambda.PROVIDERS.items()
    yield from resource_api.PROVIDERS.items()


class _Types(dict[str, Provider]):
    """Filled on first use: the providers' modules need the names above."""

    def _fill(self) -> None:
        if not len(self):
            self.update({kind: FailsIfTold(kind, each) for kind, each in _all()})

    def __contains__(self, kind: object) -> bool:
        self._fill()
        return super().__contains__(kind)

    def __getitem__(self, kind: str) -> Provider:
        self._fill()
        return super().__getitem__(kind)


TYPES = _Types()
"""Every type of resource that is known, with what makes it."""

tags_of = _tags
