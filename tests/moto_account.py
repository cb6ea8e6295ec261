"""An empty S3 over HTTP for one test: `moto_server` in a thread, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

REGION = "eu-west-1"


@contextmanager
def moto_server() -> Iterator[str]:
    """An empty account behind HTTP; yields its endpoint.

    All of moto's servers in a process are one account, so what another test left is forgotten.
    """
    import httpx
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        httpx.post(f"http://{host}:{port}/moto-api/reset", timeout=60).raise_for_status()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def moto_account(monkeypatch: pytest.MonkeyPatch, region: str | None = REGION) -> Iterator[str]:
    """`moto_server`, where boto3 finds it, and nothing of the machine's own settings of AWS."""
    with moto_server() as endpoint:
        point_to(monkeypatch, endpoint, region)
        yield endpoint


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str, region: str | None = REGION) -> None:
    """The environment of somebody who works in the account behind ``endpoint``."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        **({"AWS_DEFAULT_REGION": region} if region else {}),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
