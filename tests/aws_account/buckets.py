"""What S3 enforces and moto does not: Block Public Access, CORS, and names that others took.

S3 itself is moto's, bucket policies for anonymous requests among it. Added here: a new bucket
blocks public access as AWS's have since April 2023; a public policy is refused and an anonymous
request turned away while that stands; a bucket's CORS rules answer preflights and decide which
answers a page of another origin may read.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from aws_account.http_side import Answer, Request, s3_error
from aws_account.rights import allowed, s3_need
from aws_account.signatures import Identity

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class Buckets:
    """Answers S3 requests through ``forward`` (moto), with ``s3`` (a client on moto) to look up."""

    def __init__(self, s3: Any, forward: Callable[[Request], Answer]) -> None:
        self.s3 = s3
        self.forward = forward
        self.taken: set[str] = set()
        """Names of buckets that belong to somebody else."""

    def answer(self, request: Request, sender: Identity | None) -> Answer:
        bucket, _, key = request.path.lstrip("/").partition("/")
        rules = self._cors(bucket) if bucket and "origin" in request.headers else []
        if request.method == "OPTIONS":
            return self._preflight(request, rules)
        found = self._refusal(request, sender, bucket, key) or self.forward(request)
        # moto answers every origin; only the bucket's rules may.
        kept = [h for h in found.headers if not h[0].lower().startswith("access-control-")]
        found = Answer(found.status, found.body, kept)
        if not key and request.method == "PUT" and found.status == 200 and not request.query:
            blocks = dict.fromkeys(_BLOCKS, True)
            self.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocks)
        rule = self._matching(rules, request.headers.get("origin", ""), request.method)
        if rule:
            found.headers += self._allow(rule, request)
        return found

    def _refusal(
        self, request: Request, sender: Identity | None, bucket: str, key: str
    ) -> Answer | None:
        if bucket in self.taken:
            if request.method == "PUT" and not key and not request.query:
                return s3_error(
                    409, "BucketAlreadyExists", "The requested bucket name is not available."
                )
            return s3_error(403, "AccessDenied", "Access Denied")
        if sender is None and self._blocks(bucket).get("RestrictPublicBuckets"):
            return s3_error(403, "AccessDenied", "Access Denied")
        # Of the bucket itself moto refuses nobody anything.
        if sender is None and not key and not allowed(self._open(bucket), *s3_need(request)):
            return s3_error(403, "AccessDenied", "Access Denied")
        if sender and sender.statements is not None:
            action, arn = s3_need(request)
            if not allowed(sender.statements, action, arn):
                return s3_error(403, "AccessDenied", f"{sender.arn} may not {action} on {arn}")
        if request.method == "PUT" and "policy" in request.parameters and not key:
            public = _is_public(json.loads(request.body))
            if public and self._blocks(bucket).get("BlockPublicPolicy"):
                return s3_error(
                    403,
                    "AccessDenied",
                    "public policies are prevented by the BlockPublicPolicy setting in S3 "
                    "Block Public Access.",
                )
        return None

    def _blocks(self, bucket: str) -> dict[str, bool]:
        try:
            found = self.s3.get_public_access_block(Bucket=bucket)
        except ClientError:
            return {}
        return dict(found["PublicAccessBlockConfiguration"])

    def _open(self, bucket: str) -> list[dict[str, Any]]:
        """What the bucket's policy grants to anybody."""
        try:
            policy = json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"])
        except ClientError:
            return []
        return [each for each in policy["Statement"] if _is_for_anybody(each)]

    def _cors(self, bucket: str) -> list[dict[str, Any]]:
        try:
            return list(self.s3.get_bucket_cors(Bucket=bucket)["CORSRules"])
        except ClientError:
            return []

    def _matching(
        self, rules: list[dict[str, Any]], origin: str, method: str
    ) -> dict[str, Any] | None:
        for rule in rules:
            origins = any(fnmatch.fnmatchcase(origin, each) for each in rule["AllowedOrigins"])
            if origins and method in rule["AllowedMethods"]:
                return rule
        return None

    def _allow(self, rule: dict[str, Any], request: Request) -> list[tuple[str, str]]:
        origin = "*" if rule["AllowedOrigins"] == ["*"] else request.headers["origin"]
        found = [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])),
            ("Vary", "Origin"),
        ]
        if rule.get("ExposeHeaders"):
            found.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
        return found

    def _preflight(self, request: Request, rules: list[dict[str, Any]]) -> Answer:
        method = request.headers.get("access-control-request-method", "")
        rule = self._matching(rules, request.headers.get("origin", ""), method)
        wanted = request.headers.get("access-control-request-headers", "")
        asked = [name.strip().lower() for name in wanted.split(",") if name.strip()]
        permitted = [name.lower() for name in rule.get("AllowedHeaders", [])] if rule else []
        if rule is None or not all(
            any(fnmatch.fnmatchcase(name, each) for each in permitted) for name in asked
        ):
            return s3_error(
                403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."
            )
        return Answer(
            200, b"", [*self._allow(rule, request), ("Access-Control-Allow-Headers", wanted)]
        )


def _is_public(policy: dict[str, Any]) -> bool:
    return any(_is_for_anybody(each) for each in policy["Statement"])


def _is_for_anybody(statement: dict[str, Any]) -> bool:
    everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    return everybody and statement["Effect"] == "Allow" and "Condition" not in statement
