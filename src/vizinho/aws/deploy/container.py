"""The function as a container image: its repository in ECR, made and removed with the rest."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.function import Code
from vizinho.aws.deploy.mishaps import code_of
from vizinho.aws.deploy.options import TAG, DeployOptions, Names
from vizinho.errors import DeployError
from vizinho.progress import Progress


def repository(account: Account, names: Names) -> dict[str, Any] | None:
    """The deployment's repository; None if there is none, or it is not ours."""
    ecr = account.client("ecr")
    try:
        (found,) = ecr.describe_repositories(repositoryNames=[names.stack])["repositories"]
        tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    except ecr.exceptions.ClientError as error:
        # Who deploys a zip needs no rights on ECR, and then has nothing there.
        if code_of(error) in ("RepositoryNotFoundException", "AccessDeniedException"):
            return None
        raise
    ours = any((tag["Key"], tag["Value"]) == (TAG, names.name) for tag in tags)
    return dict(found) if ours else None


def require(options: DeployOptions) -> None:
    """See that an image, if one is wanted, can be built here. Raises DeployError."""
    from vizinho.aws.package_image import find_engine

    if options.package == "image":
        find_engine()


def stands(account: Account, names: Names) -> bool:
    """Whether there is a repository of ours."""
    return repository(account, names) is not None


def remove(account: Account, names: Names) -> bool:
    """Remove the repository with its images; False when there was none."""
    if not stands(account, names):
        return False
    account.client("ecr").delete_repository(repositoryName=names.stack, force=True)
    return True


def make(account: Account, names: Names) -> str:
    """See that the repository stands; returns its address. Raises DeployError."""
    ecr = account.client("ecr")
    found = repository(account, names)
    if found is None:
        tags = [{"Key": key, "Value": value} for key, value in names.tags.items()]
        try:
            found = ecr.create_repository(
                repositoryName=names.stack, tags=tags, imageTagMutability="IMMUTABLE"
            )["repository"]
        except ecr.exceptions.RepositoryAlreadyExistsException as error:
            raise DeployError(
                f"The image repository {names.stack} exists, but was not made by Vizinho.",
                "Take another --name.",
            ) from error
    return str(found["repositoryUri"])


def push(
    account: Account,
    names: Names,
    options: DeployOptions,
    gallery: Path | None,
    progress: Progress | None = None,
) -> Code:
    """Build the image and push it; nothing is built or sent when that very image is there."""
    from vizinho.aws.package_image import build_context, push_image
    from vizinho.aws.package_wheels import Target

    target = Target(python=options.python, architecture=options.architecture)
    address = make(account, names)
    folder = Path(tempfile.mkdtemp(prefix="image-", dir=options.cache))
    try:
        context = build_context(gallery, folder / "context", target, options.cache, progress)
        image = push_image(context, folder / "context", target, address, account.client("ecr"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Code(image.uri, image.digest.removeprefix("sha256:"), image.bytes, image.uploaded)


def forget_others(account: Account, names: Names, digest: str) -> int:
    """Remove the images of before; returns how many there were."""
    ecr, old = account.client("ecr"), []
    if not stands(account, names):
        return 0
    for page in ecr.get_paginator("list_images").paginate(repositoryName=names.stack):
        old += [{"imageDigest": each["imageDigest"]} for each in page["imageIds"]]
    old = [each for each in old if each["imageDigest"] != f"sha256:{digest}"]
    for start in range(0, len(old), 100):
        ecr.batch_delete_image(repositoryName=names.stack, imageIds=old[start : start + 100])
    return len(old)
