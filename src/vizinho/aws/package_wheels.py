"""The libraries of the function, fetched as wheels for the machine it will run on.

pip picks the wheels for another Python and processor than its own; what the rules of
`package_parts` leave is compiled where a Python of that version is at hand, since a function's
folder can't be written to and would else be compiled anew at each cold start.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Literal

from vizinho.aws.package_parts import LIBRARIES, unneeded_libraries, wanted
from vizinho.errors import DeployError
from vizinho.settings import load

Architecture = Literal["x86_64", "arm64"]
# Amazon Linux 2023 has glibc 2.34; Python 3.11 still runs on Amazon Linux 2, with 2.26.
GLIBC = {"3.11": 26, "3.12": 34, "3.13": 34, "3.14": 34}
_WHEEL_NAMES = {"x86_64": "x86_64", "arm64": "aarch64"}
# What is on the disk under another rule than today's is made again.
RULES = 4

_COMPILE = """
import py_compile, sys
from pathlib import Path
root = Path(sys.argv[1])
for path in sorted(root.rglob("*.py")):
    py_compile.compile(
        str(path), dfile="/var/task/" + path.relative_to(root).as_posix(), quiet=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@dataclass(frozen=True)
class Target:
    """Where a function runs: Python's version and the processor, as Lambda names them."""

    python: str = "3.13"
    architecture: Architecture = "x86_64"

    def __post_init__(self) -> None:
        if self.python not in GLIBC:
            raise DeployError(
                f"There is no package for Python {self.python!r}.",
                f"It can be one of: {', '.join(GLIBC)}.",
            )
        if self.architecture not in _WHEEL_NAMES:
            raise DeployError(
                f"There is no package for the processor {self.architecture!r}.",
                f"It can be one of: {', '.join(_WHEEL_NAMES)}.",
            )

    @property
    def glibc(self) -> int:
        """The newest 2.x of glibc that the function's machine has."""
        return load().function_glibc or GLIBC[self.python]

    def tags(self) -> list[str]:
        """pip's names of the platforms whose wheels run there, newest first."""
        machine = _WHEEL_NAMES[self.architecture]
        newest = [f"manylinux_2_{minor}_{machine}" for minor in range(self.glibc, 16, -1)]
        return [*newest, f"manylinux2014_{machine}"]

    def compiler(self) -> str | None:
        """A Python of the target's version on this machine, if there is one."""
        if self.python == _this_python():
            return sys.executable
        found = shutil.which(f"python{self.python}")
        # The name may be a shim that knows of no such version.
        works = found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0
        return found if works else None

    def runner(self) -> str | None:
        """A Python on this machine that can import what is built for the target."""
        here = platform.machine() in (self.architecture, _WHEEL_NAMES[self.architecture])
        return self.compiler() if here and sys.platform == "linux" else None


def _this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def requirements(names: Sequence[str] = LIBRARIES) -> list[str]:
    """The libraries pinned to the versions at work here: what made the gallery's vectors answers
    the queries too. Raises DeployError where one is not installed."""
    try:
        return [f"{name}=={metadata.version(name)}" for name in names]
    except metadata.PackageNotFoundError as error:
        raise DeployError(
            f"{error.name} is not installed here, so its version for the function is not known.",
            "Install Vizinho with what it needs: pip install vizinho",
        ) from error


def libraries(
    target: Target, cache: Path, also: Sequence[str] = (), *, compiled: bool = True
) -> Path:
    """A folder with the libraries for ``target``: pruned, and compiled where that can be done.

    ``also`` names more of them, with versions; ``compiled`` may be off where that is done later.
    Made once for each set of versions and kept in ``cache``; a kill leaves nothing half-made.
    Raises DeployError: no pip, no network, no such wheel, no space.
    """
    wanted_here = [*requirements(), *also]
    compiler = target.compiler() if compiled else None
    about = [RULES, wanted_here, target.python, target.architecture, target.glibc, bool(compiler)]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    place = cache / "libraries" / f"{target.python}-{target.architecture}-{key}"
    if place.is_dir():
        return place
    with disk_errors(cache), workshop(place.parent) as folder:
        with workshop(place.parent) as scratch:
            _install(wanted_here, target, folder, scratch)
        for path in [p for p in folder.rglob("*") if p.is_file()]:
            if not wanted(PurePosixPath(path.relative_to(folder).as_posix())):
                path.unlink()
        for path in unneeded_libraries(folder):
            path.unlink()
        compile_folder(folder, compiler)
        _rename(folder, place)
    return place


def compile_folder(folder: Path, compiler: str | None) -> None:
    """Write the bytecode beside every module under ``folder``, never to be checked again."""
    if compiler is None:
        return
    # Sets are written in the order of their hashes: a fixed seed gives the same bytes each time.
    command = [compiler, "-S", "-B", "-c", _COMPILE, str(folder)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(
            f"{compiler} can't compile the function's modules: {last_line(done.stderr)}"
        )


def _install(wanted_here: Sequence[str], target: Target, folder: Path, scratch: Path) -> None:
    # pip unpacks in the temporary folder, which is often small: it gets one on the cache's disk.
    where = ("env", f"TMPDIR={scratch}") if os.name == "posix" else ()
    command = [
        *where,
        *_pip(),
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=2",
        "--no-deps",
        "--no-compile",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={target.python}",
        *(f"--platform={tag}" for tag in target.tags()),
        f"--target={folder}",
        *wanted_here,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise _explained(done.stderr, wanted_here, target, folder.parent)


def _pip() -> list[str]:
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if probe.returncode == 0:
        return [sys.executable, "-m", "pip"]
    alone = shutil.which("pip") or shutil.which("pip3")
    if alone is None:
        raise DeployError(
            "The function's libraries can't be fetched: this Python has no pip.",
            f"Add it: {sys.executable} -m ensurepip",
        )
    return [alone]


_NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Connection refused",
    "Network is unreachable",
    "Could not fetch URL",
)


def _explained(text: str, wanted_here: Sequence[str], target: Target, shelf: Path) -> DeployError:
    names = ", ".join(wanted_here)
    if "No space left" in text:
        return _full(str(shelf))
    if any(word in text for word in _NO_NETWORK):
        return DeployError(
            f"The function's libraries ({names}) can't be fetched: no package index answers.",
            "Check the network and pip's settings, then run it again: what came is kept.",
        )
    if "No matching distribution" in text:
        old = f" with glibc 2.{target.glibc}" if target.glibc < GLIBC["3.13"] else ""
        return DeployError(
            f"Not all of {names} come for Python {target.python} on {target.architecture}{old}: "
            f"{last_line(text)}",
            "Take Python 3.12 or 3.13 for the function."
            if old
            else "Install other versions of them here; the function gets the same ones.",
        )
    return DeployError(f"pip can't fetch the function's libraries: {last_line(text)}")


def last_line(text: str) -> str:
    """The last line of a program's complaint, or words that there was none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _full(what: str) -> DeployError:
    return DeployError(
        f"The package can't be built: the disk with {what} is full.",
        "Free about 500 MB there, or set VIZINHO_CACHE to another folder, and run it again.",
    )


@contextmanager
def disk_errors(cache: Path) -> Iterator[None]:
    """Errors of the file system while building, as DeployError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(str(cache)) from error
        raise DeployError(
            f"The package can't be built in {cache}: {error.strerror or error}.",
            "Check the path and its owner, or set VIZINHO_CACHE to another folder.",
        ) from error


@contextmanager
def workshop(beside: Path) -> Iterator[Path]:
    """A folder to work in, on the disk of ``beside``, and gone afterwards unless renamed.

    What a killed process left there is removed first.
    """
    beside.mkdir(parents=True, exist_ok=True)
    for left in beside.glob(".work-*"):
        owner = left.name.split("-")[1]
        if not (owner.isdecimal() and Path("/proc", owner).exists()):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".work-{os.getpid()}-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rename(folder: Path, place: Path) -> None:
    try:
        folder.rename(place)
    except OSError:
        if not place.is_dir():  # else another process has made the same meanwhile
            raise
