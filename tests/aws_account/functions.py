"""The functions of the account, running in AWS's own Runtime Interface Emulator.

Real: the emulator, awslambdaric, and the code, which is the very zip that was uploaded, unzipped
and run alone (none of this environment's libraries but the runtime's). A stand-in: one running
environment a version, never two at once; the environment's memory is told, not enforced; a
snapshot is not taken, so SnapStart starts like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_account.http_side import Listener
from aws_account.signatures import Identity, Keyring
from aws_account.urls import Entrance
from rie import Function as Running

UNZIPPED_LIMIT = 250 * 1024 * 1024


@dataclass(frozen=True)
class Code:
    """A zip's bytes, or the name of an image (which can't run here)."""

    data: bytes = b""
    image: str = ""


@dataclass
class Version:
    settings: dict[str, Any]
    code: Code


@dataclass
class Deployed:
    """A function with its versions (``$LATEST`` among them), aliases and permissions."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    permissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: int = 0


class Functions:
    def __init__(self, folder: Path, keyring: Keyring, iam: Any, region: str) -> None:
        self.folder = folder
        self.keyring = keyring
        self.iam = iam
        self.region = region
        self.endpoint = ""
        """What functions find as AWS_ENDPOINT_URL; set when the front listens."""
        self.deployed: dict[str, Deployed] = {}
        self.entrances: dict[str, tuple[Entrance, Listener]] = {}
        self.logs: list[str] = []
        """What environments that have ended had written."""
        self._running: dict[tuple[str, str], Running] = {}
        self._lock = threading.RLock()

    # What stacks do ------------------------------------------------------------------------

    def put(self, name: str, settings: dict[str, Any], code: Code) -> None:
        """A function's code and settings, new or anew."""
        if code.data:
            _check_zip(code.data)
        with self._lock:
            function = self.deployed.setdefault(name, Deployed(name))
            function.versions["$LATEST"] = Version(settings, code)
            self._stop(name, "$LATEST")

    def publish(self, name: str) -> str:
        """A numbered copy of what the function is now; the last number where nothing changed."""
        function = self.deployed[name]
        latest = function.versions["$LATEST"]
        if function.versions.get(str(function.last)) == latest:
            return str(function.last)
        function.last += 1
        function.versions[str(function.last)] = Version(latest.settings, latest.code)
        return str(function.last)

    def unpublish(self, name: str, number: str) -> None:
        function = self.deployed.get(name)
        if function is None:
            return
        if number in function.aliases.values():
            raise RuntimeError(f"version {number} of {name} is pointed at by an alias")
        with self._lock:
            function.versions.pop(number, None)
            self._stop(name, number)

    def point(self, name: str, alias: str, number: str | None) -> None:
        """An alias to a version, or none any more."""
        if number is None:
            self.deployed[name].aliases.pop(alias, None)
        else:
            self.deployed[name].aliases[alias] = str(number)

    def allow(self, name: str, statement: str, given: dict[str, Any]) -> None:
        self.deployed[name].permissions[statement] = given

    def forbid(self, name: str, statement: str) -> None:
        self.deployed[name].permissions.pop(statement, None)

    def delete(self, name: str) -> None:
        with self._lock:
            for number in self.deployed.pop(name).versions:
                self._stop(name, number)

    # How they are reached ------------------------------------------------------------------

    def open_url(self, identity: str, target: str, given: dict[str, Any]) -> str:
        return self._open(identity, Entrance(self, "url", target, "2.0", given))

    def open_api(self, identity: str, given: dict[str, Any]) -> str:
        return self._open(identity, Entrance(self, "http", "", "2.0", given)).rstrip("/")

    def _open(self, identity: str, entrance: Entrance) -> str:
        listener = Listener(entrance.answer)
        self.entrances[identity] = (entrance, listener)
        entrance.host = f"127.0.0.1:{listener.port}"
        return f"http://{entrance.host}/"

    def change_url(self, identity: str, given: dict[str, Any]) -> None:
        self.entrances[identity][0].settings = given

    def integrate(self, identity: str, target: str, version: str) -> None:
        """Says which function an HTTP API calls, and in which payload format."""
        entrance = self.entrances[identity][0]
        entrance.target, entrance.format = target, version

    def close_url(self, identity: str) -> None:
        self.entrances.pop(identity)[1].close()

    # How they run --------------------------------------------------------------------------

    def resolve(self, target: str) -> tuple[Deployed, str]:
        """The function and version behind a name or ARN, through its alias; raises KeyError."""
        parts = target.split(":")[6:] if target.startswith("arn:") else target.split(":")
        function = self.deployed[parts[0]]
        qualifier = parts[1] if len(parts) > 1 else "$LATEST"
        return function, function.aliases.get(qualifier, qualifier)

    def invoke(self, target: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the handler answers, in an environment that is started when there is none."""
        function, number = self.resolve(target)
        with self._lock:
            running = self._running.get((function.name, number))
            if running is None or running.process.poll() is not None:
                running = self._start(function, number)
                self._running[function.name, number] = running
        return running.invoke(event)

    def _start(self, function: Deployed, number: str) -> Running:
        version = function.versions[number]
        if version.code.image:
            raise RuntimeError("images can't run here: there is no container engine")
        settings = version.settings
        memory, timeout = int(settings.get("MemorySize", 128)), int(settings.get("Timeout", 3))
        variables = settings.get("Environment", {}).get("Variables", {})
        identity = self._identity(function.name, settings["Role"])
        environment = {
            **{name: str(value) for name, value in variables.items()},
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": number,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret,
            "AWS_SESSION_TOKEN": identity.token,
            "AWS_ENDPOINT_URL": self.endpoint,
        }
        # The timeout is the template's at least; a busy machine must not make it end too soon.
        return Running(
            self._unzipped(version.code),
            environment=environment,
            handler=settings["Handler"],
            isolated=True,
            memory=memory,
            timeout=max(timeout, 120),
        )

    def _identity(self, name: str, role_arn: str) -> Identity:
        """Fresh credentials of the role, which may do what its policies say."""
        role = role_arn.rpartition("/")[2]
        statements: list[dict[str, Any]] = []
        for policy in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
            found = self.iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            document = json.loads(found) if isinstance(found, str) else found
            statements += document["Statement"]
        identity = Identity(
            f"ASIA{secrets.token_hex(8).upper()}",
            secrets.token_urlsafe(30),
            secrets.token_urlsafe(200),
            statements,
            f"{role_arn}/{name}",
        )
        self.keyring.add(identity)
        return identity

    def _unzipped(self, code: Code) -> Path:
        folder = self.folder / hashlib.sha256(code.data).hexdigest()[:16]
        if not folder.exists():
            with zipfile.ZipFile(io.BytesIO(code.data)) as archive:
                archive.extractall(folder)
        return folder

    def _stop(self, name: str, number: str) -> None:
        running = self._running.pop((name, number), None)
        if running is not None:
            self.logs.append(running.log)
            running.stop()

    def log(self) -> str:
        """All that the functions have written."""
        return "".join([*self.logs, *(running.log for running in self._running.values())])

    def close(self) -> None:
        with self._lock:
            for key in list(self._running):
                self._stop(*key)
            for identity in list(self.entrances):
                self.close_url(identity)


def _check_zip(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(each.file_size for each in archive.infolist())
    except zipfile.BadZipFile:
        raise ValueError("Could not unzip uploaded file.") from None
    if size > UNZIPPED_LIMIT:
        raise ValueError(f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes")
