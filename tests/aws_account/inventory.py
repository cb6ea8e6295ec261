"""Everything in the account, so that "nothing is left behind" can be asked.

Moto is asked for itself, through its own API; what this package keeps is looked at directly.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_account.account import Account


def everything(account: Account) -> dict[str, Any]:
    """All there is by kind, without the kinds of which there is nothing.

    Two accounts in which the same was deployed have equal answers: names that are drawn by chance
    and times are not in it, but contents are (objects by ETag, pages by hash, functions by code).
    """
    found = {
        "buckets": _buckets(account),
        "stacks": _stacks(account),
        "functions": _functions(account),
        "entrances": sorted(each.kind for each, _ in account.functions.entrances.values()),
        "apps": _apps(account),
        "at moto": _moto(account),
    }
    return {kind: each for kind, each in found.items() if each}


def objects(account: Account, bucket: str) -> dict[str, str]:
    """The objects of a bucket: ETag by key."""
    pages = account.world.clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {o["Key"]: o["ETag"].strip('"') for page in pages for o in page.get("Contents", [])}


def _buckets(account: Account) -> dict[str, Any]:
    s3 = account.world.clients["s3"]
    found = {}
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        found[name] = {"objects": objects(account, name)}
        uploads = s3.list_multipart_uploads(Bucket=name).get("Uploads", [])
        if uploads:
            found[name]["unfinished"] = sorted(each["Key"] for each in uploads)
        for what in ("bucket_policy", "bucket_cors", "public_access_block", "bucket_tagging"):
            try:
                answer = getattr(s3, f"get_{what}")(Bucket=name)
            except s3.exceptions.ClientError:
                continue
            answer.pop("ResponseMetadata")
            found[name][what] = answer
    return found


def _stacks(account: Account) -> dict[str, Any]:
    return {
        stack.name: {
            # A stack that was changed on the way is the same as one made at once.
            "status": stack.status.replace("UPDATE", "CREATE"),
            "template": hashlib.sha256(stack.body.encode()).hexdigest(),
            "parameters": _plain(stack.parameters),
            "resources": {
                name: resource.kind for name, resource in sorted(stack.resources.items())
            },
            "tags": sorted(map(str, stack.tags)),
        }
        for stack in account.stacks.stacks.values()
        if stack.status != "DELETE_COMPLETE"
    }


def _functions(account: Account) -> dict[str, Any]:
    found = {}
    for name, function in account.functions.deployed.items():
        live = {
            alias: _version(function.versions[number]) for alias, number in function.aliases.items()
        }
        found[name] = {
            "aliases": live,
            "versions": len(function.versions),
            "permissions": sorted(g["Action"] for g in function.permissions.values()),
        }
    return found


def _version(version: Any) -> dict[str, Any]:
    return {
        "code": hashlib.sha256(version.code.data).hexdigest(),
        "environment": version.settings.get("Environment"),
        "memory": version.settings.get("MemorySize"),
    }


def _apps(account: Account) -> dict[str, Any]:
    return {
        app.about["name"]: {
            "pages": _plain({n: b.active is not None for n, b in app.branches.items()}),
            "tags": app.tags,
        }
        for app in account.amplify.apps.values()
    }


def _moto(account: Account) -> dict[str, Any]:
    clients = account.world.clients
    found = {
        "roles": [r["RoleName"].rsplit("-", 1)[0] for r in clients["iam"].list_roles()["Roles"]],
        "policies": [
            p["PolicyName"] for p in clients["iam"].list_policies(Scope="Local")["Policies"]
        ],
        "log groups": [
            g["logGroupName"] for g in clients["logs"].describe_log_groups()["logGroups"]
        ],
        "alarms": [a["AlarmName"] for a in clients["cloudwatch"].describe_alarms()["MetricAlarms"]],
        "functions": [f["FunctionName"] for f in clients["lambda"].list_functions()["Functions"]],
        "http apis": [a["Name"] for a in clients["apigatewayv2"].get_apis()["Items"]],
        "repositories": [
            r["repositoryName"] for r in clients["ecr"].describe_repositories()["repositories"]
        ],
    }
    return {kind: sorted(each) for kind, each in found.items() if each}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
