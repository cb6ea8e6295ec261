"""Who sent a request: Signature Version 4, verified anew from the specification.

A stand-in for what AWS checks before anything else (moto checks no signature). Links that
Vizinho signs are thereby proved to be signed rightly, and refused when they have run out.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from aws_account.http_side import Request

_ALGORITHM = "AWS4-HMAC-SHA256"
_SKEW = timedelta(minutes=15)


class Refused(Exception):
    """A signature that AWS would not take."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass
class Identity:
    """A key and what it may do: everything (the deployer), or what a role's policies say."""

    access_key: str
    secret: str
    token: str = ""
    statements: list[dict[str, Any]] | None = None
    arn: str = "arn:aws:iam::123456789012:user/deployer"


@dataclass(frozen=True)
class Signed:
    """What a request claims: who, for which service and region."""

    access_key: str
    service: str
    region: str


@dataclass
class Keyring:
    """All identities of the account."""

    identities: dict[str, Identity] = field(default_factory=dict)

    def add(self, identity: Identity) -> None:
        self.identities[identity.access_key] = identity

    def verify(self, request: Request) -> tuple[Identity | None, Signed | None]:
        """The sender, or (None, None) for an anonymous request; raises Refused."""
        if request.headers.get("authorization", "").startswith(_ALGORITHM):
            return self._check(request, *_from_header(request), in_query=False)
        if "X-Amz-Signature" in request.parameters:
            return self._check(request, *_from_query(request), in_query=True)
        return None, None

    def _check(
        self, request: Request, scope: str, names: str, given: str, when: str, *, in_query: bool
    ) -> tuple[Identity, Signed]:
        key, _, region, service, _ = scope.split("/")
        identity = self.identities.get(key)
        if identity is None:
            code = "InvalidAccessKeyId" if service == "s3" else "InvalidClientTokenId"
            raise Refused(code, "The security token included in the request is invalid.")
        token = request.parameters.get("X-Amz-Security-Token") if in_query else None
        token = token or request.headers.get("x-amz-security-token", "")
        if token != identity.token:
            raise Refused("InvalidToken", "The provided token is malformed or otherwise invalid.")
        _check_time(request, when, in_query)
        if not hmac.compare_digest(_signature(request, identity, scope, names, when), given):
            raise Refused(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        return identity, Signed(key, service, region)


def _from_header(request: Request) -> tuple[str, str, str, str]:
    text = request.headers["authorization"].removeprefix(_ALGORITHM)
    parts = dict(part.strip().split("=", 1) for part in text.split(","))
    return (
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        request.headers["x-amz-date"],
    )


def _from_query(request: Request) -> tuple[str, str, str, str]:
    given = request.parameters
    return (
        given["X-Amz-Credential"],
        given["X-Amz-SignedHeaders"],
        given["X-Amz-Signature"],
        given["X-Amz-Date"],
    )


def _check_time(request: Request, when: str, in_query: bool) -> None:
    signed = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    now = datetime.now(UTC)
    if in_query:
        if now > signed + timedelta(seconds=int(request.parameters["X-Amz-Expires"])):
            raise Refused("AccessDenied", "Request has expired")
    elif abs(now - signed) > _SKEW:
        raise Refused("RequestTimeTooSkewed", "The request's time differs too much from ours.")


def _signature(request: Request, identity: Identity, scope: str, names: str, when: str) -> str:
    _, day, region, service, terminator = scope.split("/")
    canonical = "\n".join(
        [
            request.method,
            _canonical_path(request, service),
            _canonical_query(request),
            *(
                f"{name}:{' '.join(request.headers.get(name, '').split())}"
                for name in names.split(";")
            ),
            "",
            names,
            _payload(request, service),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, when, "/".join([day, region, service, terminator]), hashed])
    key = b"AWS4" + identity.secret.encode()
    for part in (day, region, service, terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical_path(request: Request, service: str) -> str:
    path = request.raw.partition("?")[0] or "/"
    # S3 encodes a path once, every other service twice.
    return quote(unquote(path) if service == "s3" else path, safe="/-_.~")


def _canonical_query(request: Request) -> str:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    encoded = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs)
    return "&".join(f"{k}={v}" for k, v in encoded)


def _payload(request: Request, service: str) -> str:
    if "X-Amz-Signature" in request.parameters:
        return "UNSIGNED-PAYLOAD" if service == "s3" else hashlib.sha256(b"").hexdigest()
    declared = request.headers.get("x-amz-content-sha256")
    if declared and len(declared) == 64:
        actual = hashlib.sha256(request.body).hexdigest()
        if declared != actual:
            raise Refused("XAmzContentSHA256Mismatch", "The hash is not the body's.", 400)
    return declared or hashlib.sha256(request.body).hexdigest()
