"""A function and what belongs to it: version, alias, permission, URL.

The function is moto's, so that boto3 finds it; what runs is this account's (see `functions`),
from the very zip that was in S3 when the function was made. Versions, aliases, permissions and
URLs are kept here and at moto, where moto has them.
"""

from __future__ import annotations

from typing import Any

from aws_account.functions import Code
from aws_account.resources import Made, MustReplace, World, tags_of

_SETTINGS = ("Handler", "Runtime", "Description")


class Function:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        name = given.get("FunctionName") or name[:64]
        code = _code(world, given)
        world.clients["lambda"].create_function(
            FunctionName=name,
            Role=given["Role"],
            Code=_place(given),
            PackageType=given.get("PackageType", "Zip"),
            Architectures=given.get("Architectures", ["x86_64"]),
            Tags={tag["Key"]: tag["Value"] for tag in tags_of(world, given)},
            **_settings(given),
        )
        world.functions.put(name, given, code)
        arn = world.arn("lambda", f"function:{name}")
        if "ReservedConcurrentExecutions" in given:
            world.clients["lambda"].put_function_concurrency(
                FunctionName=name,
                ReservedConcurrentExecutions=int(given["ReservedConcurrentExecutions"]),
            )
        return Made(name, attributes={"Arn": arn})

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        fixed = ("FunctionName", "PackageType")
        if any(old.get(each) != new.get(each) for each in fixed):
            raise MustReplace
        code = _code(world, new)
        client = world.clients["lambda"]
        place = {f"{k[0].upper()}{k[1:]}": v for k, v in _place(new).items()}
        client.update_function_code(FunctionName=made.physical, **place)
        client.update_function_configuration(
            FunctionName=made.physical, Role=new["Role"], **_settings(new)
        )
        world.functions.put(made.physical, new, code)
        return made

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.delete(made.physical)
        world.clients["lambda"].delete_function(FunctionName=made.physical)


def _place(given: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given["Code"].items() if k in ("S3Bucket", "S3Key", "ImageUri")}


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {each: given[each] for each in _SETTINGS if each in given}
    found["Timeout"] = int(given.get("Timeout", 3))
    found["MemorySize"] = int(given.get("MemorySize", 128))
    variables = given.get("Environment", {}).get("Variables", {})
    # The API takes text only; CloudFormation turns numbers into it.
    found["Environment"] = {"Variables": {k: str(v) for k, v in variables.items()}}
    if "EphemeralStorage" in given:
        found["EphemeralStorage"] = {"Size": int(given["EphemeralStorage"]["Size"])}
    return found


def _code(world: World, given: dict[str, Any]) -> Code:
    place = given["Code"]
    if "ImageUri" in place:
        return Code(image=place["ImageUri"])
    found = world.clients["s3"].get_object(Bucket=place["S3Bucket"], Key=place["S3Key"])
    return Code(data=found["Body"].read())


class Version:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        function = _name(given["FunctionName"])
        number = world.functions.publish(function)
        arn = world.arn("lambda", f"function:{function}:{number}")
        return Made(arn, attributes={"Version": number})

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        raise MustReplace

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.unpublish(_name(given["FunctionName"]), made.attributes["Version"])


class Alias:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        function = _name(given["FunctionName"])
        world.functions.point(function, given["Name"], given["FunctionVersion"])
        arn = world.arn("lambda", f"function:{function}:{given['Name']}")
        return Made(arn)

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        if (old["Name"], old["FunctionName"]) != (new["Name"], new["FunctionName"]):
            raise MustReplace
        return self.create(world, made.physical, new)

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.point(_name(given["FunctionName"]), given["Name"], None)


class Permission:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        world.functions.allow(_name(given["FunctionName"]), name, given)
        return Made(name)

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        raise MustReplace

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.forbid(_name(given["FunctionName"]), made.physical)


class Url:
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        target = given["TargetFunctionArn"]
        url = world.functions.open_url(name, target, given)
        return Made(name, target, {"FunctionUrl": url, "FunctionArn": target})

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        if old["TargetFunctionArn"] != new["TargetFunctionArn"]:
            raise MustReplace
        world.functions.change_url(made.physical, new)
        return made

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.close_url(made.physical)


def _name(function: str) -> str:
    """A function's name, out of its name, its ARN or its alias's ARN."""
    return function.split(":")[6] if function.startswith("arn:") else function.split(":")[0]


PROVIDERS: dict[str, Any] = {
    "AWS::Lambda::Function": Function(),
    "AWS::Lambda::Version": Version(),
    "AWS::Lambda::Alias": Alias(),
    "AWS::Lambda::Permission": Permission(),
    "AWS::Lambda::Url": Url(),
}
