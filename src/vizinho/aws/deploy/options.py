"""What a deployment is told, and what its parts are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vizinho.errors import DeployError

TAG = "vizinho:deployment"
PREFIX = "vizinho-"
BRANCH = "live"
LONGEST_NAME = 24

Package = Literal["zip", "image"]
Api = Literal["url", "http"]
Architecture = Literal["x86_64", "arm64"]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# What CloudWatch Logs takes as retention, in days.
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class DeployOptions:
    """One deployment. Raises DeployError for values that AWS would refuse later.

    ``public``: anyone may fetch a picture by its address, as in the thesis; else links are signed
    and end after ``link_seconds``. ``memory`` in MB; 1,769 is one whole core. ``timeout`` in
    seconds. ``concurrency``: at most that many queries at once, 0 leaves it to the account.
    ``alarm_topic``: ARN of an SNS topic that hears the alarms. ``cache``: folder for what is built.
    ``replace``: put this gallery in the place of one that has no picture in common with it.
    """

    gallery: Path
    name: str
    cache: Path
    region: str | None = None
    public: bool = False
    package: Package = "zip"
    api: Api = "url"
    memory: int = 1769
    architecture: Architecture = "x86_64"
    python: str = "3.13"
    with_snapshot: bool = True
    keep_logs: int = 14
    page: bool = True
    timeout: int = 30
    link_seconds: int = 3600
    max_upload_bytes: int = 4 * 1024 * 1024
    concurrency: int = 0
    alarm_topic: str | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        _one_of("package", self.package, get_args(Package))
        _one_of("api", self.api, get_args(Api))
        _one_of("architecture", self.architecture, get_args(Architecture))
        _one_of("python", self.python, PYTHONS)
        _one_of("keep-logs", self.keep_logs, RETENTIONS)
        if not 128 <= self.memory <= 10_240:
            raise DeployError(
                f"--memory is {self.memory}.", "A function has 128 to 10240 MB; 1769 is one core."
            )

    @property
    def snapstart(self) -> bool:
        """Whether the function starts from a snapshot: AWS does so for zips from Python 3.12 on."""
        return self.with_snapshot and self.package == "zip" and self.python != "3.11"


@dataclass(frozen=True)
class Names:
    """What the parts of deployment ``name`` are called; the bucket's name is unique in the world
    because account and region are in it."""

    name: str
    account: str
    region: str

    @property
    def bucket(self) -> str:
        return f"{PREFIX}{self.name}-{self.account}-{self.region}"

    @property
    def stack(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def app(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def tags(self) -> dict[str, str]:
        """What everything made carries; only what carries it is ever removed."""
        return {TAG: self.name}


def check_name(name: str) -> str:
    """``name``, if parts of a deployment can be called by it; else raises DeployError."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise DeployError(
            f"{name!r} can't be the name of a deployment.",
            f"Give --name a name of at most {LONGEST_NAME} small letters, digits and single "
            "hyphens that begins with a letter, such as holiday-2026.",
        )
    return name


def name_after(gallery: Path) -> str:
    """The name of a deployment when none is given: the gallery's, spelt as AWS wants it."""
    plain = re.sub(r"[^a-z0-9]+", "-", gallery.resolve().name.removesuffix(".vizinho").lower())
    plain = plain.lstrip("-0123456789")[:LONGEST_NAME].strip("-")
    return plain or "gallery"


def _one_of(option: str, value: object, values: tuple[object, ...]) -> None:
    if value not in values:
        told = ", ".join(map(str, values))
        raise DeployError(f"--{option} is {value}.", f"It can be one of: {told}.")
