"""What Amplify keeps: apps, branches, jobs; and how its API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DOMAIN = "amplifyapp.com"


@dataclass
class Job:
    id: str
    token: str
    status: str = "CREATED"
    upload: bytes = b""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Branch:
    name: str
    about: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    active: str | None = None


@dataclass
class App:
    id: str
    arn: str
    about: dict[str, Any]
    tags: dict[str, str]
    branches: dict[str, Branch] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def show_app(app: App) -> dict[str, Any]:
    return {
        "description": "",
        "repository": "",
        "platform": "WEB",
        "environmentVariables": {},
        "enableBranchAutoBuild": False,
        "enableBasicAuth": False,
        **app.about,
        "appId": app.id,
        "appArn": app.arn,
        "tags": app.tags,
        "createTime": app.created,
        "updateTime": app.created,
        "defaultDomain": f"{app.id}.{DOMAIN}",
    }


def show_branch(app: App, branch: Branch) -> dict[str, Any]:
    return {
        "description": "",
        "stage": "NONE",
        "framework": "",
        "environmentVariables": {},
        "customDomains": [],
        "enableNotification": False,
        "enableAutoBuild": False,
        "enableBasicAuth": False,
        "ttl": "5",
        "enablePullRequestPreview": False,
        **{k: v for k, v in branch.about.items() if k != "appId"},
        "branchArn": f"{app.arn}/branches/{branch.name}",
        "displayName": branch.name,
        "activeJobId": branch.active or "",
        "totalNumberOfJobs": str(len(branch.jobs)),
        "createTime": app.created,
        "updateTime": app.created,
    }


def summary(job: Job) -> dict[str, Any]:
    return {
        "jobArn": f"job/{job.id}",
        "jobId": job.id,
        "commitId": "",
        "commitMessage": "",
        "commitTime": job.began,
        "startTime": job.began,
        "status": job.status,
        "jobType": "MANUAL",
    }


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
