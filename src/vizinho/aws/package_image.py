"""The function as a container image: the folder it is built from, the build, and the push to ECR.

Built by whichever of docker and podman answers on this machine.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from vizinho.aws import package_parts as parts
from vizinho.aws.package_wheels import Target, disk_errors, last_line, libraries
from vizinho.aws.package_zip import digest_of
from vizinho.errors import DeployError
from vizinho.progress import Progress

ENGINES = ("docker", "podman")
# Lambda's own limit for an image, unpacked.
LIMIT = 10 * 1024**3
_PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


@dataclass(frozen=True)
class Image:
    """An image in ECR: its address by digest, the digest, its compressed size, and whether it had
    to be sent."""

    uri: str
    digest: str
    bytes: int
    uploaded: bool


def base_image(target: Target) -> str:
    """AWS's own image for the target's Python; it comes for both processors."""
    return f"public.ecr.aws/lambda/python:{target.python}"


def build_context(
    gallery: Path | None,
    folder: Path,
    target: Target,
    cache: Path,
    progress: Progress | None = None,
) -> str:
    """Write into ``folder`` (made) what the image is built from, the Dockerfile among it.

    Args:
        gallery: a packed gallery to put in, as ``gallery.vizinho``; None leaves it outside.
        cache: folder that keeps the libraries from one build to the next.
        progress: hears (0, None) while libraries are fetched.

    Returns the digest (SHA-256, hex) of all that was written: an image's tag can be made of it.
    Raises DeployError.
    """
    if progress is not None:
        progress(0, None)
    # The image's own Python compiles them.
    fetched = libraries(target, cache, parts.RUNTIME, compiled=False)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(fetched, folder / "libraries", dirs_exist_ok=True)
        for module in parts.modules():
            _put(parts.SOURCES / module, folder / "code" / module)
        (folder / "gallery").mkdir(exist_ok=True)
        if gallery is not None:
            for inside in parts.gallery_files(gallery):
                _put(gallery / inside, folder / "gallery" / "gallery.vizinho" / inside)
        dockerfile = files("vizinho.aws").joinpath("Dockerfile").read_bytes()
        (folder / "Dockerfile").write_bytes(dockerfile)
        return _readable(folder)


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _readable(folder: Path) -> str:
    """Lambda runs as a user of its own, who must be able to read everything."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\0{digest_of(path)}\0".encode())
    return digest.hexdigest()


def find_engine(names: Sequence[str] = ENGINES) -> str:
    """The first of docker and podman that is installed and answers. Raises DeployError."""
    silent = []
    for name in names:
        path = shutil.which(name)
        if path is None:
            continue
        if _run([path, "info"]).returncode == 0:
            return path
        silent.append(name)
    if silent:
        raise DeployError(
            f"A container image can't be built: {' and '.join(silent)} is installed, but its "
            "engine doesn't answer.",
            "Start it, or deploy with --package zip, which needs none.",
        )
    raise DeployError(
        "A container image can't be built: neither docker nor podman is installed.",
        "Install one of them, or deploy with --package zip, which needs none.",
    )


def build_image(
    folder: Path,
    target: Target,
    tag: str,
    *,
    engine: str | None = None,
    base: str | None = None,
    options: Sequence[str] = (),
) -> None:
    """Build the image ``tag`` from a folder of `build_context`.

    ``base`` is the image to build on (AWS's own for that Python when left out), ``options`` are
    handed to the engine's ``build``. Raises DeployError with the engine's last words.
    """
    engine = engine or find_engine()
    command = [
        # Lambda takes no image with attestations beside it, which docker adds by default.
        *("env", "BUILDX_NO_DEFAULT_ATTESTATIONS=1"),
        *(engine, "build", "--platform", _PLATFORMS[target.architecture]),
        *("--build-arg", f"BASE={base or base_image(target)}", "--tag", tag),
        *options,
        str(folder),
    ]
    done = _run(command)
    if done.returncode:
        said = done.stderr or done.stdout
        if "exec format error" in said:
            raise DeployError(
                f"This machine can't run programs for {target.architecture}, as building the image "
                "has to.",
                "Choose the architecture of this machine, or install qemu-user-static.",
            )
        raise DeployError(f"The container image can't be built: {last_line(said)}")


def push_image(
    context: str,
    folder: Path,
    target: Target,
    repository: str,
    client: Any,
    *,
    base: str | None = None,
    engine: str | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Image:
    """Build and push the image of ``folder`` unless ``repository`` holds it already.

    Args:
        context: digest of the folder, as `build_context` gave it; becomes part of the tag.
        repository: address of an ECR repository, ``ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME``.
        client: boto3's client for ECR.
        base: the image to build on; AWS's own when left out.
        on_step: hears what is being done: build, sign in, push.

    Raises DeployError: no engine, no build, no access.
    """
    registry, _, name = repository.partition("/")
    base = base or base_image(target)
    tag = hashlib.sha256(f"{context}\0{base}\0{target}".encode()).hexdigest()[:32]
    found = _look_up(client, name, tag)
    if found is not None:
        return Image(f"{repository}@{found[0]}", found[0], found[1], False)
    say = on_step or (lambda step: None)
    engine = engine or find_engine()
    say("build")
    build_image(folder, target, f"{repository}:{tag}", engine=engine, base=base)
    say("sign in")
    _sign_in(engine, registry, client)
    say("push")
    done = _run([engine, "push", f"{repository}:{tag}"])
    if done.returncode:
        raise DeployError(
            f"The image can't be pushed to {repository}: {last_line(done.stderr)}",
            "Run it again: layers that arrived are not sent twice.",
        )
    found = _look_up(client, name, tag)
    if found is None:
        raise DeployError(f"{repository} doesn't show the image that was just pushed.")
    return Image(f"{repository}@{found[0]}", found[0], found[1], True)


def _look_up(client: Any, name: str, tag: str) -> tuple[str, int] | None:
    """Digest and compressed bytes of the image of that tag, if it is there."""
    try:
        answer = client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except client.exceptions.ImageNotFoundException:
        return None
    details = answer["imageDetails"]
    if not details:
        return None
    return str(details[0]["imageDigest"]), int(details[0].get("imageSizeInBytes", 0))


def _sign_in(engine: str, registry: str, client: Any) -> None:
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    # On standard input: an argument can be read by every user of the machine.
    command = [engine, "login", "--username", user, "--password-stdin", registry]
    done = _run(command, password)
    if done.returncode:
        raise DeployError(f"ECR doesn't let {Path(engine).name} in: {last_line(done.stderr)}")


def _run(command: Sequence[str], said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=said, capture_output=True, text=True, errors="replace")
