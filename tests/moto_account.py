"""An empty S3 over HTTP for one test: `moto_server` in a thread, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

REGION = "eu-west-1"


@contextmanager
def moto_account(monkeypatch: pytest.MonkeyPatch, region: str | None = REGION) -> Iterator[str]:
    """Yields the endpoint; boto3 finds it, and nothing of the machine's own settings of AWS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    point_to(monkeypatch, endpoint, region)
    try:
        import httpx

        httpx.post(f"{endpoint}/moto-api/reset", timeout=60)
        yield endpoint
    finally:
        server.stop()


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
