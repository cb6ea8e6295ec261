"""The one endpoint: looks who asks and for what, and hands the request to whom it belongs.

S3 (through `buckets`), IAM, STS, Logs, ECR, CloudWatch, Lambda and all else go on to moto_server,
a process of its own; CloudFormation and Amplify are answered by this package.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Any

from aws_account.buckets import Buckets
from aws_account.http_side import Answer, Request, s3_error
from aws_account.signatures import Identity, Keyring, Refused, Signed


class Moto:
    """Passes requests on to moto_server, one connection a thread."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._local = threading.local()

    def forward(self, request: Request) -> Answer:
        skipped = ("connection", "content-length", "expect", "transfer-encoding", "origin")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.putrequest(
                request.method, request.raw, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.sent_headers:
                if name.lower() not in skipped:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            return Answer(response.status, response.read(), response.getheaders())
        finally:
            connection.close()


class Front:
    """Decides by signature and path; ``parts`` answer for services that moto lacks."""

    def __init__(self, keyring: Keyring, moto: Moto, s3: Any) -> None:
        self.keyring = keyring
        self.moto = moto
        self.buckets = Buckets(s3, moto.forward)
        self.services: dict[str, Callable[[Request], Answer | None]] = {}
        """By signing name; an answer of None sends the request on to moto."""
        self.paths: dict[str, Callable[[Request], Answer]] = {}
        """By how the path begins: what is asked without a signature (uploads)."""
        self.denied: set[str] = set()
        """Services the deployer has no right to."""
        self.calls: list[tuple[str, str, str]] = []
        """Service, method and path (query and body name no action here) of every request."""

    def answer(self, request: Request) -> Answer:
        for prefix, handler in self.paths.items():
            if request.path.startswith(prefix):
                return handler(request)
        if request.method == "OPTIONS":
            # A browser signs no preflight; the link in it is signed for another method.
            return self.buckets.answer(request, None)
        try:
            sender, signed = self.keyring.verify(request)
        except Refused as error:
            return _refusal(request, error)
        service = signed.service if signed else "s3"
        self.calls.append((service, request.method, request.raw))
        if service in self.denied:
            message = f"User is not authorized to perform this on {service}"
            return _refusal(request, Refused("AccessDenied", message), service)
        if service == "s3":
            return self.buckets.answer(request, sender)
        if not _is_deployer(sender, signed):
            message = f"the function's role has no right to {service}"
            return _refusal(request, Refused("AccessDenied", message), service)
        own = self.services.get(service)
        return (own(request) if own else None) or self.moto.forward(request)


def _is_deployer(sender: Identity | None, signed: Signed | None) -> bool:
    return bool(sender and signed and sender.statements is None)


def _refusal(request: Request, error: Refused, service: str | None = None) -> Answer:
    service = service or request.headers.get("authorization", "///s3").split("/")[3]
    if service == "s3":
        return s3_error(error.status, error.code, error.message)
    if service in ("cloudformation", "iam", "sts", "monitoring"):
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>"
            f"<Message>{error.message}</Message></Error></ErrorResponse>"
        )
        return Answer.of_text(error.status, text, "text/xml")
    found = Answer.of_json(error.status, {"message": error.message, "__type": error.code})
    found.headers.append(("x-amzn-ErrorType", f"{error.code}Exception"))
    return found
