"""A Lambda function in AWS's Runtime Interface Emulator, with awslambdaric, without a container.

The emulator is a program of AWS that the package ``aws-sam-cli`` carries. It speaks the runtime API
to the real runtime client, which imports the handler from a folder as Lambda does::

    with Function(environment={"VIZINHO_GALLERY": str(path)}) as function:
        answer = function.invoke(event)
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCE = REPO / "src"
HANDLER = "vizinho.aws.handler.handler"
_INSIDE = "lib/python*/site-packages/samcli/local/rapid"
_NAMES = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
# What Lambda's own Python image has beside the standard library.
_RUNTIME = ("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson")


def find_rie() -> Path | None:
    """The emulator's program, or None.

    Looked for in ``VIZINHO_TEST_RIE``, in an environment ``.venv-sam`` or ``samenv`` in or beside
    the repository, and beside a ``sam`` on the PATH.
    """
    named = os.environ.get("VIZINHO_TEST_RIE")
    if named:
        return Path(named) if Path(named).is_file() else None
    homes = [REPO / ".venv-sam", REPO.parent / ".venv-sam", REPO.parent / "samenv"]
    sam = shutil.which("sam")
    if sam is not None:
        homes.append(Path(sam).resolve().parents[1])
    name = _NAMES.get(platform.machine(), "")
    found = (path for home in homes for path in home.glob(f"{_INSIDE}/{name}"))
    return next((path for path in found if name and path.is_file()), None)


def require_rie() -> Path:
    """The emulator's program; skips the test, aloud, where there is none."""
    found = find_rie()
    if found is None:
        pytest.skip("no Lambda Runtime Interface Emulator here: install aws-sam-cli (make sam)")
    if find_spec("awslambdaric") is None:
        pytest.skip("no awslambdaric here: install the test group")
    return found


class Function:
    """One function, running; invocations come one after another, as in one Lambda environment.

    Args:
        task_root: folder that holds the code, as ``/var/task``; our source tree when left out.
        environment: the function's variables. Nothing of this process's own ``VIZINHO_*`` and
            ``AWS_*`` variables is handed on.
        handler: what to run in it.
        isolated: let the function see only its folder and what Lambda's image has, none of the
            libraries of this environment. For a package that brings its own.
        memory: what the function is told of its size, in MB; it is not held to it.
        timeout: seconds an invocation may take; the emulator ends it then.
        prefix: words before the command, such as ``("taskset", "-c", "0")``.
    """

    def __init__(
        self,
        task_root: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        handler: str = HANDLER,
        isolated: bool = False,
        memory: int = 1024,
        timeout: int = 120,
        python: str = sys.executable,
        prefix: tuple[str, ...] = (),
    ) -> None:
        rie = require_rie()
        self.task_root = task_root or SOURCE
        self.timeout = timeout
        self._asking = threading.Lock()
        self._runtime = Path(tempfile.mkdtemp(prefix="vizinho-runtime-"))
        self.port, inner = _free_ports()
        command = [
            *prefix,
            str(rie),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"),
            *("--runtime-api-address", f"127.0.0.1:{inner}"),
            python,
            *(["-S"] if isolated else []),
            *("-m", "awslambdaric", handler),
        ]
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VIZINHO_", "AWS_", "PYTHON", "LAMBDA_"))
        }
        variables = {
            **own,
            "PYTHONPATH": os.pathsep.join([str(self.task_root), *self._extra(isolated)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "LAMBDA_TASK_ROOT": str(self.task_root),
            "AWS_LAMBDA_FUNCTION_NAME": "vizinho",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            **(environment or {}),
        }
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=self.task_root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Function:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What emulator and function have written so far."""
        return "".join(self._lines)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log lines that are JSON objects: what the function itself logged."""
        found = []
        for line in list(self._lines):
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the handler returns for ``event``; the first one waits for the function's start.

        An exception of the handler comes as Lambda gives it: ``errorMessage``, ``errorType``.
        """
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations",
            json.dumps(event).encode(),
            {"Content-Type": "application/json"},
        )
        with self._asking:
            try:
                with urllib.request.urlopen(request, timeout=self.timeout + 30) as answer:
                    text = answer.read()
            except urllib.error.HTTPError as error:
                text = error.read()
            except OSError as error:
                raise AssertionError(
                    f"the emulator did not answer ({error}):\n{self.log}"
                ) from error
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise AssertionError(f"the emulator answered {text!r}:\n{self.log}") from error

    def stop(self) -> None:
        """End emulator and function, and wait until both are gone."""
        family = [self.process.pid, *_descendants(self.process.pid)]
        # The emulator puts the function into a process group of its own, so each is ended by name.
        for pid in family:
            _signal(pid, signal.SIGKILL)
        self.process.wait(20)
        self._reader.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self._runtime, ignore_errors=True)

    def _extra(self, isolated: bool) -> list[str]:
        if not isolated:
            return []
        for name in _RUNTIME:
            spec = find_spec(name)
            if spec is None or spec.origin is None:
                continue
            origin = Path(spec.origin)
            kept = origin.parent if origin.name == "__init__.py" else origin
            (self._runtime / kept.name).symlink_to(kept)
        return [str(self._runtime)]

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(self.process.stdout)

    def _wait_for_port(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the emulator did not start:\n{self.log}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _descendants(pid: int) -> list[int]:
    """All processes under ``pid``, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
