"""The SAM template: linted by SAM's and CloudFormation's own tools, and looked at translated."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aws_account.transform import transform
from vizinho.aws.deploy import DeployOptions, Names
from vizinho.aws.deploy.function import Code, parameters, template

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "src" / "vizinho" / "aws" / "template.yaml"
NAMES = Names("toy", "123456789012", "eu-west-1")
ARN = "arn:aws:s3:::" + NAMES.bucket


def find_sam() -> str | None:
    """The SAM CLI: its dependencies clash with ours, so it lives in an environment of its own."""
    named = os.environ.get("VIZINHO_TEST_SAM")
    beside = ROOT / ".venv-sam" / "bin" / "sam"
    return named or (str(beside) if beside.exists() else shutil.which("sam"))


def options(**more: Any) -> DeployOptions:
    return DeployOptions(gallery=Path("toy.vizinho"), name="toy", cache=Path("cache"), **more)


def told(chosen: DeployOptions, gallery_bytes: int = 1000) -> dict[str, str]:
    place = "1.dkr.ecr.eu-west-1.amazonaws.com/x@sha256:0" if chosen.package == "image" else "p/1"
    return parameters(
        NAMES,
        chosen,
        Code(place, "d", 1, False),
        gallery_digest="abc",
        gallery_bytes=gallery_bytes,
        cors="https://page.example",
    )


def translated(values: dict[str, str]) -> dict[str, Any]:
    """The template as CloudFormation gets it, its conditions decided and references filled in."""
    return _translated(json.dumps(values, sort_keys=True))


@functools.cache
def _translated(text: str) -> dict[str, Any]:
    from cfnlint.decode.cfn_yaml import load

    values: dict[str, str] = json.loads(text)
    whole = transform(json.loads(json.dumps(load(str(TEMPLATE)))), values, NAMES.region)
    conditions = {name: decide(each, values, {}) for name, each in whole["Conditions"].items()}
    found: dict[str, Any] = {}
    for name, resource in whole["Resources"].items():
        if conditions.get(resource.get("Condition"), True):
            found[name] = decide(resource, values, conditions)
    return found


def decide(value: Any, values: dict[str, str], conditions: dict[str, bool]) -> Any:
    """``value`` with conditions decided and parameters filled in; other functions stay."""
    if isinstance(value, list):
        return [decide(each, values, conditions) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        known = {**values, "AWS::StackName": NAMES.stack}
        return known.get(value["Ref"], value)
    if set(value) == {"Fn::If"}:
        name, yes, no = value["Fn::If"]
        return decide(yes if conditions[name] else no, values, conditions)
    if set(value) == {"Fn::Equals"}:
        left, right = decide(value["Fn::Equals"], values, conditions)
        return str(left) == str(right)
    if set(value) == {"Fn::Not"}:
        return not decide(value["Fn::Not"][0], values, conditions)
    if set(value) == {"Fn::Sub"}:
        text = value["Fn::Sub"]
        for name, each in {
            **values,
            "AWS::Partition": "aws",
            "AWS::StackName": NAMES.stack,
        }.items():
            text = text.replace("${" + name + "}", str(each))
        return text
    return {name: decide(each, values, conditions) for name, each in value.items()}


def of_kind(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in resources.values() if each["Type"] == kind]


ALL = [
    {},
    {"public": True},
    {"api": "http"},
    {"package": "image"},
    {"package": "image", "api": "http", "architecture": "arm64"},
    {"python": "3.11", "concurrency": 5, "memory": 3008, "timeout": 10, "keep_logs": 90},
]


@pytest.fixture(params=ALL, ids=lambda chosen: "-".join(map(str, chosen.values())) or "plain")
def chosen(request: pytest.FixtureRequest) -> DeployOptions:
    return options(**request.param)


def test_cfn_lint_finds_nothing() -> None:
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", run, "--regions", "eu-west-1", "--", str(TEMPLATE)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sam_validate_lint_finds_nothing(tmp_path: Path) -> None:
    sam = find_sam()
    if sam is None:
        pytest.skip("the SAM CLI is not here: set VIZINHO_TEST_SAM, or `make sam`")
    done = subprocess.run(
        [sam, "validate", "--lint", "--template", str(TEMPLATE), "--region", "eu-west-1"],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_every_parameter_is_told_and_no_other(chosen: DeployOptions) -> None:
    from cfnlint.decode.cfn_yaml import load

    wanted = load(str(TEMPLATE))["Parameters"]
    given = told(chosen)
    assert set(given) == set(wanted)
    for name, value in given.items():
        assert value != ""
        assert value in [str(each) for each in wanted[name].get("AllowedValues", [value])]


def test_the_role_may_read_two_prefixes_and_write_one_log(chosen: DeployOptions) -> None:
    (role,) = of_kind(translated(told(chosen)), "AWS::IAM::Role")
    trusted = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [each["Principal"] for each in trusted] == [{"Service": "lambda.amazonaws.com"}]
    assert "ManagedPolicyArns" not in role["Properties"]
    (policy,) = role["Properties"]["Policies"]
    rights = {
        json.dumps(each["Action"]): each["Resource"]
        for each in policy["PolicyDocument"]["Statement"]
    }
    assert rights == {
        '"s3:GetObject"': [f"{ARN}/images/*", f"{ARN}/galleries/*"],
        '["logs:CreateLogStream", "logs:PutLogEvents"]': {"Fn::GetAtt": ["LogGroup", "Arn"]},
    }


def test_no_right_is_a_wildcard_and_no_bucket_is_in_it(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    assert not [each for each in resources.values() if each["Type"].startswith("AWS::S3")]
    for role in of_kind(resources, "AWS::IAM::Role"):
        for policy in role["Properties"]["Policies"]:
            for each in policy["PolicyDocument"]["Statement"]:
                assert "*" not in json.dumps(each["Action"])
                assert each["Resource"] != "*"


def test_the_function_is_as_it_was_asked_for(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    (function,) = of_kind(resources, "AWS::Lambda::Function")
    told_it = function["Properties"]
    assert told_it["MemorySize"] == str(chosen.memory)
    assert told_it["Timeout"] == str(chosen.timeout)
    assert told_it["Architectures"] == [chosen.architecture]
    assert told_it.get("ReservedConcurrentExecutions") in (
        ["5"] if chosen.concurrency else [{"Ref": "AWS::NoValue"}]
    )
    variables = told_it["Environment"]["Variables"]
    assert variables["VIZINHO_GALLERY"] == "gallery.vizinho"
    assert variables["VIZINHO_LINKS"] == ("public" if chosen.public else "private")
    assert variables["VIZINHO_CORS"] == "https://page.example"
    assert {"Key": "vizinho:deployment", "Value": "toy"} in told_it["Tags"]
    if chosen.package == "zip":
        assert told_it["Code"] == {"S3Bucket": NAMES.bucket, "S3Key": "p/1"}
        assert told_it["Handler"] == "vizinho.aws.handler.handler"
        assert told_it["Runtime"] == f"python{chosen.python}"
    else:
        assert told_it["PackageType"] == "Image"
        assert "Handler" not in told_it
        assert "Runtime" not in told_it


def test_snapshots_are_of_versions_and_only_where_aws_takes_them(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    (function,) = of_kind(resources, "AWS::Lambda::Function")
    snapshot = function["Properties"].get("SnapStart", {"ApplyOn": "None"})["ApplyOn"]
    wanted = chosen.package == "zip" and chosen.python != "3.11"
    assert snapshot == ("PublishedVersions" if wanted else "None")
    (version,) = of_kind(resources, "AWS::Lambda::Version")
    # Each old snapshot would be paid for.
    assert version["DeletionPolicy"] == "Delete"
    (alias,) = of_kind(resources, "AWS::Lambda::Alias")
    assert alias["Properties"]["Name"] == "live"


def test_a_large_gallery_stays_in_s3_with_disk_for_it_and_without_snapshot() -> None:
    from vizinho.aws.sizes import BUNDLED_BYTES

    little = told(options(), BUNDLED_BYTES + 1)
    assert little["Gallery"] == f"s3://{NAMES.bucket}/galleries/abc"
    assert (little["Scratch"], little["SnapStart"]) == ("512", "PublishedVersions")
    large = told(options(), 2 * 1024**3)
    assert (large["Scratch"], large["SnapStart"]) == ("2215", "None")


def test_logs_end_and_go_with_the_stack(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    (logs,) = of_kind(resources, "AWS::Logs::LogGroup")
    assert logs["Properties"]["RetentionInDays"] == str(chosen.keep_logs)
    assert logs["DeletionPolicy"] == "Delete"
    (function,) = of_kind(resources, "AWS::Lambda::Function")
    assert function["Properties"]["LoggingConfig"] == {"LogGroup": {"Ref": "LogGroup"}}


def test_alarms_watch_the_function_that_stands(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    (name,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Function"]
    alarms = of_kind(resources, "AWS::CloudWatch::Alarm")
    watched = {each["Properties"]["MetricName"] for each in alarms}
    assert watched == {"Errors", "Throttles", "Duration"}
    for each in alarms:
        assert each["Properties"]["Dimensions"] == [
            {"Name": "FunctionName", "Value": {"Ref": name}}
        ]


def test_the_url_is_open_by_both_permissions_and_the_api_by_its_own(chosen: DeployOptions) -> None:
    resources = translated(told(chosen))
    (alias,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Alias"]
    permissions = [each["Properties"] for each in of_kind(resources, "AWS::Lambda::Permission")]
    assert {json.dumps(each["FunctionName"]) for each in permissions} == {f'{{"Ref": "{alias}"}}'}
    urls = of_kind(resources, "AWS::Lambda::Url")
    apis = of_kind(resources, "AWS::ApiGatewayV2::Api")
    if chosen.api == "url":
        assert (len(urls), len(apis)) == (1, 0)
        # https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html, since October 2025
        by_action = {each["Action"]: each for each in permissions}
        assert set(by_action) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        assert by_action["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
        assert by_action["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True
    else:
        assert (len(urls), len(apis)) == (0, 1)
        (only,) = permissions
        assert only["Principal"] == "apigateway.amazonaws.com"
        assert "${HttpApi}" in only["SourceArn"]


def test_whatever_changes_makes_a_new_version() -> None:
    def version(**more: Any) -> set[str]:
        resources = translated(told(options(**more)))
        return {n for n, each in resources.items() if each["Type"] == "AWS::Lambda::Version"}

    assert version() == version()
    assert version() != version(public=True)
    assert version() != version(memory=512)


def test_cloudformation_takes_the_template_as_it_is() -> None:
    from vizinho.aws.deploy.stack import INLINE_BYTES

    assert len(template().encode()) < INLINE_BYTES
