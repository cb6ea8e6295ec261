"""CloudFormation's and Amplify's requests and answers on the wire.

Real: shapes come from botocore's own service models; CloudFormation's query protocol is read and
written by moto's parser and serialiser, which moto's own services use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from moto.core.model import ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict

from aws_account.http_side import Answer, Request


class ServiceError(Exception):
    """An error that a service answers with."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


Action = Callable[[dict[str, Any]], Mapping[str, Any] | None]


@cache
def _model(service: str) -> ServiceModel:
    found: ServiceModel = get_service_model(service)
    return found


def answer_query(request: Request, actions: Mapping[str, Action]) -> Answer:
    """One request of CloudFormation's query protocol, answered by the action of its name."""
    form = MultiDict(parse_qsl(request.body.decode(), keep_blank_values=True))
    name = form.get("Action", "")
    if name not in actions:
        return _query_error(ServiceError("InvalidAction", f"not emulated: {name}"))
    operation = _model("cloudformation").operation_model(name)
    parser = PROTOCOL_PARSERS["query"](operation)
    given = parser.parse(
        {
            "method": request.method,
            "values": form,
            "headers": {},
            "body": request.body,
            "url_path": "/",
            "url_params": {},
        }
    )
    try:
        found = actions[name](given) or {}
    except ServiceError as error:
        return _query_error(error)
    serialised = get_serializer_class("cloudformation", "query")(operation).serialize(found)
    body = serialised["body"]
    return Answer(200, body.encode() if isinstance(body, str) else body, [_XML])


_XML = ("Content-Type", "text/xml")


def _query_error(error: ServiceError) -> Answer:
    message = error.message.replace("&", "&amp;").replace("<", "&lt;")
    text = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
    )
    return Answer(error.status, text.encode(), [_XML])


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    model = _model(service)
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        # A parameter with a plus may hold slashes, as an ARN does.
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"].split("?")[0])
        pattern = pattern.replace("(?P<resourceArn>[^/]+)", "(?P<resourceArn>.+)")
        found.append((http["method"], re.compile(pattern), name))
    return found


def answer_rest(request: Request, service: str, actions: Mapping[str, Action]) -> Answer:
    """One request of a REST service that speaks JSON (Amplify), answered by the named action."""
    path = request.raw.partition("?")[0]
    for method, pattern, name in _routes(service):
        match = pattern.fullmatch(path)
        if method != request.method or not match or name not in actions:
            continue
        given: dict[str, Any] = {k: unquote(v) for k, v in match.groupdict().items()}
        given |= request.parameters
        tag_keys = [v for k, v in parse_qsl(request.query) if k == "tagKeys"]
        given |= {"tagKeys": tag_keys} if tag_keys else {}
        if request.body:
            given |= json.loads(request.body)
        try:
            return _json(200, actions[name](given) or {})
        except ServiceError as error:
            found = _json(error.status, {"message": error.message})
            found.headers.append(("x-amzn-ErrorType", error.code))
            return found
    found = _json(404, {"message": f"not emulated: {request.method} {path}"})
    found.headers.append(("x-amzn-ErrorType", "NotFoundException"))
    return found


def _json(status: int, content: Mapping[str, Any]) -> Answer:
    def default(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.timestamp()
        raise TypeError(type(value))

    body = json.dumps(content, default=default).encode()
    return Answer(status, body, [("Content-Type", "application/json")])
