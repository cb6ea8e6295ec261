"""The function on AWS Lambda: ``vizinho.aws.handler.handler``.

Gallery and model are opened when Lambda imports this module, before the first request; SnapStart
keeps the process as it is then. When that fails the reason is in the log, every request is answered
503, and it is tried again from time to time.
"""

from __future__ import annotations

from typing import Any

from vizinho.aws.function import Function, log_to_stdout


def handler(event: object, context: Any) -> dict[str, Any]:
    """What Lambda calls: an HTTP event in, an HTTP answer out; never an exception."""
    return _function.handle(event, getattr(context, "aws_request_id", ""))


log_to_stdout()
_function = Function()
_function.start()
