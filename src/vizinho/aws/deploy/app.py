"""The page's place: an Amplify app without a repository, filled by hand with one zip."""

from __future__ import annotations

import contextlib
import hashlib
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import code_of
from vizinho.aws.deploy.options import BRANCH, TAG, Names
from vizinho.aws.deploy.record import Record
from vizinho.errors import DeployError

LONGEST = 10 * 60.0


def find(account: Account, names: Names) -> dict[str, Any] | None:
    """Our app of this deployment, by name and tag; None if there is none."""
    return next(_ours(account, names), None)


def require(account: Account) -> None:
    """Raises DeployError in a region that has no Amplify, as far as boto3 knows."""
    if not account.offers("amplify"):
        raise DeployError(
            f"AWS has no Amplify in {account.region}, so the page can't stand there.",
            "Take another --region, or --no-page for the API alone. If Amplify is new there, "
            "`pip install --upgrade boto3` makes it known.",
        )


def make(account: Account, names: Names) -> tuple[dict[str, Any], bool]:
    """The app with its branch, and whether it was made now."""
    client = account.client("amplify")
    found, made = find(account, names), False
    if found is None:
        found = dict(client.create_app(name=names.app, platform="WEB", tags=names.tags)["app"])
        made = True
    try:
        client.get_branch(appId=found["appId"], branchName=BRANCH)
    except client.exceptions.ClientError as error:
        if code_of(error) not in ("NotFoundException", "ResourceNotFoundException"):
            raise
        client.create_branch(
            appId=found["appId"], branchName=BRANCH, stage="PRODUCTION", tags=names.tags
        )
    return found, made


def address(app: dict[str, Any]) -> str:
    """Where the page is shown."""
    return f"https://{BRANCH}.{app['defaultDomain']}"


def publish(
    account: Account, app: dict[str, Any], page: bytes, headers: str, record: Record
) -> bool:
    """Put the page up and wait until it stands; False when that very page stands already.

    ``record`` says what was put up last, and is told. Raises DeployError.
    """
    client, number = account.client("amplify"), app["appId"]
    digest = hashlib.sha256(page + headers.encode()).hexdigest()
    if (record.app, record.page) == (number, digest):
        return False
    client.update_app(appId=number, customHeaders=headers)
    for job in client.list_jobs(appId=number, branchName=BRANCH).get("jobSummaries", ()):
        # An interrupted run's: one that waits would refuse a new one.
        if job["status"] in ("CREATED", "PENDING", "PROVISIONING", "RUNNING"):
            with contextlib.suppress(client.exceptions.ClientError):
                client.stop_job(appId=number, branchName=BRANCH, jobId=job["jobId"])
    made = client.create_deployment(appId=number, branchName=BRANCH)
    _send(made["zipUploadUrl"], page)
    client.start_deployment(appId=number, branchName=BRANCH, jobId=made["jobId"])
    _wait(client, number, made["jobId"])
    record.app, record.page = number, digest
    return True


def remove(account: Account, names: Names) -> bool:
    """Remove the app (every one of ours, if ever two were made); False when there was none."""
    client, removed = account.client("amplify"), False
    for found in list(_ours(account, names)):
        # A list may show for a moment what is gone.
        with contextlib.suppress(client.exceptions.NotFoundException):
            client.delete_app(appId=found["appId"])
            removed = True
    return removed


def _ours(account: Account, names: Names) -> Iterator[dict[str, Any]]:
    from botocore.exceptions import EndpointConnectionError

    try:
        for page in account.client("amplify").get_paginator("list_apps").paginate():
            for found in page["apps"]:
                if found["name"] == names.app and found.get("tags", {}).get(TAG) == names.name:
                    yield dict(found)
    except EndpointConnectionError:
        # Where there is no Amplify there is nothing of ours either.
        if account.offers("amplify"):
            raise


def _send(url: str, data: bytes) -> None:
    # S3's own address, signed for this one upload; it is not to be signed again.
    request = urllib.request.Request(url, data=data, method="PUT")
    request.add_header("Content-Type", "application/zip")
    try:
        with urllib.request.urlopen(request, timeout=60):
            pass
    except OSError as error:
        raise DeployError(
            f"The page can't be uploaded to Amplify: {error}", "Run it again: it goes on from here."
        ) from error


def _wait(client: Any, app: str, job: str) -> None:
    end, pause = time.monotonic() + LONGEST, 0.2
    while time.monotonic() < end:
        found = client.get_job(appId=app, branchName=BRANCH, jobId=job)["job"]["summary"]
        if found["status"] == "SUCCEED":
            return
        if found["status"] in ("FAILED", "CANCELLED"):
            raise DeployError(
                f"Amplify could not put up the page: job {job} is {found['status']}.",
                "The app's log in the Amplify console says why.",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 3.0)
    raise DeployError("Amplify is still putting up the page.", "Run it again in a few minutes.")
