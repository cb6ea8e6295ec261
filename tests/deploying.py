"""`vizinho deploy`, `status` and `destroy` as a user runs them, in an emulated account."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from aws_account import Account

SOURCE = Path(__file__).resolve().parents[1] / "src"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The function's Python is this one: the emulator runs it here."""
PATIENCE = 600.0
_TIMES = ("deployed", "url", "page", "app", "page_url")


class Deployer:
    """Runs commands with the account's credentials; ``cache`` keeps what was built."""

    def __init__(self, account: Account, cache: Path) -> None:
        self.account = account
        self.cache = cache

    def start(self, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
        """A command that runs on by itself."""
        return subprocess.Popen(
            [sys.executable, "-m", "vizinho", *map(str, words)],
            env={
                **self.account.environment(**environment),
                "PYTHONPATH": str(SOURCE),
                "VIZINHO_CACHE": str(self.cache),
                # The function runs on this machine, not on Amazon's.
                "VIZINHO_GLIBC": platform.libc_ver()[1],
                "OMP_NUM_THREADS": "1",
                "COLUMNS": "200",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str | Path) -> str:
        """What a command prints; it must end well."""
        process = self.start(*words)
        told, errors = process.communicate(timeout=PATIENCE)
        log = self.account.functions.log()[-4000:]
        assert process.returncode == 0, f"{words}\n{told}\n{errors}\n{log}"
        return told

    def deploy(self, gallery: Path, *options: str) -> dict[str, Any]:
        """``vizinho deploy aws``; what it says as JSON."""
        found: dict[str, Any] = json.loads(self.run(*deploy_words(gallery, *options)))
        return found


def deploy_words(gallery: Path, *options: str) -> list[str]:
    """The words of a deployment from this machine to the emulator on it."""
    processor = "arm64" if os.uname().machine == "aarch64" else "x86_64"
    where = ["--python", PYTHON, "--architecture", processor]
    return ["deploy", "aws", "--gallery", str(gallery), *where, "--yes", "--json", *options]


def steady(account: Account, bucket: str) -> dict[str, Any]:
    """All that is in the account, less what chance and the clock decide: the app's number, the
    ports of URLs, and what is made from these."""
    found = account.resources()
    objects = found["buckets"][bucket]["objects"]
    s3 = account.world.clients["s3"]
    for key in ("deployment.json", "urls.csv"):
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        if key.endswith(".json"):
            kept = {n: v for n, v in json.loads(text).items() if n not in _TIMES}
            text = json.dumps(kept, sort_keys=True)
        objects[key] = text
    for stack in found["stacks"].values():
        # A digest over the settings, the page's address among them.
        revision = stack["parameters"].pop("Revision")
        stack["resources"] = {
            re.sub(rf"{revision[:10]}\w*$", "", name): kind
            for name, kind in stack["resources"].items()
        }
    text = json.dumps(found, sort_keys=True)
    for number in account.amplify.apps:
        text = text.replace(number, "APP")
    text = re.sub(r"127\.0\.0\.1:\d+", "HERE", text)
    steadied: dict[str, Any] = json.loads(text)
    return steadied
