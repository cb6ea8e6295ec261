"""What a role may do: its policies, applied to what the function asks of S3.

A stand-in for IAM's decision, for the one identity that is not the deployer: the function. Only
Allow and Deny with Action and Resource are read; a condition makes it stop with an error, because
a rule that is not understood must not count as a right.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from aws_account.http_side import Request


def allowed(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether the statements let ``action`` be done to ``resource`` (an ARN)."""
    effects = {
        statement["Effect"]
        for statement in statements
        if _applies(statement, "Action", action) and _applies(statement, "Resource", resource)
    }
    return effects == {"Allow"}


def _applies(statement: dict[str, Any], field: str, value: str) -> bool:
    if "Condition" in statement:
        raise ValueError(f"a policy with a condition is not understood here: {statement}")
    patterns = statement.get(field, [])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    fold = str.lower if field == "Action" else str
    return any(fnmatch.fnmatchcase(fold(value), fold(pattern)) for pattern in patterns)


def s3_need(request: Request) -> tuple[str, str]:
    """The action and the ARN that a path-style S3 request needs."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not bucket:
        return "s3:ListAllMyBuckets", "*"
    if not key:
        listing = request.method in ("GET", "HEAD")
        return ("s3:ListBucket" if listing else "s3:PutBucket"), f"arn:aws:s3:::{bucket}"
    actions = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}
    return actions.get(request.method, "s3:PutObject"), f"arn:aws:s3:::{bucket}/{key}"
