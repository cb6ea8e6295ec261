"""The AWS account that is worked in: who we are, and clients that retry."""

from __future__ import annotations

import threading
from typing import Any

from vizinho.aws.deploy.options import Names
from vizinho.errors import DeployError

WORKERS = 16
"""Requests at once."""


class Account:
    """Clients of one account in one region, made on first use.

    Credentials, region and endpoint come by boto3's standard chain: the environment, ``~/.aws``,
    single sign-on, the machine's role. Raises DeployError without boto3, without a region.
    """

    def __init__(self, region: str | None = None) -> None:
        try:
            import boto3
        except ImportError as error:
            raise DeployError(
                "boto3, which talks to AWS, is not installed.",
                'Run `pip install "vizinho[aws]"`.',
            ) from error
        self._session = boto3.session.Session(region_name=region)
        if not self._session.region_name:
            raise DeployError(
                "No AWS region is set.",
                "Name one with --region (such as eu-central-1), set AWS_DEFAULT_REGION, or run "
                "`aws configure`.",
            )
        self.region: str = self._session.region_name
        self.clients: dict[str, Any] = {}
        self._making = threading.Lock()
        self._id: str | None = None

    def client(self, service: str) -> Any:
        """The client of a service; may be used by several threads at once."""
        from botocore.config import Config

        with self._making:
            if service not in self.clients:
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": 6},
                    max_pool_connections=2 * WORKERS,
                    connect_timeout=10,
                    user_agent_extra="vizinho",
                )
                self.clients[service] = self._session.client(service, config=config)
            return self.clients[service]

    @property
    def id(self) -> str:
        """The account's number; asks AWS once, which is how credentials are found to be good."""
        if self._id is None:
            self._id = str(self.client("sts").get_caller_identity()["Account"])
        return self._id

    def offers(self, service: str) -> bool:
        """Whether the region has a service, as far as boto3 knows; asks nobody."""
        return self.region in self._session.get_available_regions(service)

    @property
    def endpoint(self) -> str:
        """Where S3 is reached."""
        return str(self.client("s3").meta.endpoint_url)

    def names(self, name: str) -> Names:
        """What the parts of a deployment are called in this account."""
        return Names(name, self.id, self.region)
