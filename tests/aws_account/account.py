"""The account as a whole: starts its parts, and says what is in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from aws_account import inventory
from aws_account.amplify import Amplify
from aws_account.amplify_things import DOMAIN
from aws_account.certificate import make_certificate
from aws_account.front import Front, Moto
from aws_account.functions import Functions
from aws_account.http_side import Listener
from aws_account.resources import World
from aws_account.signatures import Identity, Keyring
from aws_account.stacks import Stacks
from aws_account.wire import answer_query

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ACCESS_KEY = "AKIAEMULATEDDEPLOYER"
SECRET = "emulated/secret/of/the/deployer"
_CLIENTS = ("s3", "iam", "logs", "cloudwatch", "lambda", "apigatewayv2", "ecr")


class Account:
    """An empty account. ``folder`` is for the code of functions and a log."""

    def __init__(self, folder: Path, region: str = REGION) -> None:
        self.region = region
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "moto.log").open("w")
        self._moto = _start_moto(self._log)
        address = f"http://127.0.0.1:{self._moto[1]}"
        clients = {name: _client(name, address, region) for name in _CLIENTS}
        self.keyring = Keyring()
        self.keyring.add(Identity(ACCESS_KEY, SECRET))
        self.functions = Functions(folder / "code", self.keyring, clients["iam"], region)
        self.world = World(region, ACCOUNT, clients, self.functions)
        self.stacks = Stacks(self.world, self._template_at)
        self.amplify = Amplify(region, ACCOUNT)
        self.front = Front(self.keyring, Moto(self._moto[1]), clients["s3"])
        self.front.services = {
            "cloudformation": lambda request: answer_query(request, self.stacks.actions),
            "amplify": self.amplify.answer,
        }
        self.front.paths = {"/_amplify/": self.amplify.upload}
        self._listener = Listener(self.front.answer)
        self.endpoint = f"http://127.0.0.1:{self._listener.port}"
        self.functions.endpoint = self.amplify.endpoint = self.endpoint
        self._pages = Listener(self.amplify.page, make_certificate(folder, DOMAIN))

    def __enter__(self) -> Account:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.stacks.settle()
        self.functions.close()
        self._listener.close()
        self._pages.close()
        self._moto[0].kill()
        self._moto[0].wait(20)
        self._log.close()

    @property
    def variables(self) -> dict[str, str]:
        """The environment of somebody who works in this account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment with the account's variables instead of any others of AWS."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**own, **self.variables, **more}

    def client(self, service: str, **more: Any) -> Any:
        """A boto3 client of the deployer, through the front."""
        return _client(service, self.endpoint, self.region, ACCESS_KEY, SECRET, **more)

    def resources(self) -> dict[str, Any]:
        """Everything there is, by kind; empty for an account with nothing in it."""
        self.stacks.settle()
        return inventory.everything(self)

    @property
    def page_port(self) -> int:
        """Where on this machine Amplify's pages are served."""
        return self._pages.port

    @property
    def browser_arguments(self) -> list[str]:
        """What Chromium must be told to find the account's pages, and to take their certificate.

        A picture from 127.0.0.1 is no mixed content, but it would be asked for by TLS first.
        """
        rule = f"MAP *.{DOMAIN}:443 127.0.0.1:{self.page_port}"
        return [
            f"--host-resolver-rules={rule}",
            "--ignore-certificate-errors",
            "--disable-features=AutoupgradeMixedContent",
        ]

    def _template_at(self, url: str) -> str:
        bucket, _, key = urlsplit(url).path.lstrip("/").partition("/")
        found = self.world.clients["s3"].get_object(Bucket=bucket, Key=key)
        return str(found["Body"].read().decode())


def _client(
    service: str, address: str, region: str, key: str = "moto", secret: str = "moto", **more: Any
) -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=address,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}, **more),
    )


def _start_moto(log: Any) -> tuple[subprocess.Popen[bytes], int]:
    """moto_server on a free port, and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**own, "MOTO_ACCOUNT_ID": ACCOUNT},
        stdout=log,
        stderr=log,
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    process.kill()
    raise AssertionError("moto_server did not start")
