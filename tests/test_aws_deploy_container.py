"""The image's repository in ECR, against a real one over HTTP (moto_server); how an image is built
and pushed is tested in test_aws_package_image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moto_account import moto_account
from vizinho.aws import package_image
from vizinho.aws.deploy import DeployOptions, Names, container
from vizinho.aws.deploy.account import Account
from vizinho.errors import DeployError

MANIFEST = (
    '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "n": %d}'
)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with moto_account(monkeypatch):
        yield Account()


@pytest.fixture
def names(account: Account) -> Names:
    return account.names("toy")


def put(account: Account, names: Names, number: int) -> str:
    """An image in the repository, as pushing makes it; its digest."""
    made = account.client("ecr").put_image(
        repositoryName=names.stack, imageManifest=MANIFEST % number, imageTag=f"t{number}"
    )
    return str(made["image"]["imageId"]["imageDigest"])


def test_the_repository_is_made_once_kept_small_and_removed(account: Account, names: Names) -> None:
    assert not container.stands(account, names)
    assert not container.remove(account, names)
    address = container.make(account, names)
    assert address.endswith(f".amazonaws.com/{names.stack}")
    assert container.make(account, names) == address
    put(account, names, 1)
    newest = put(account, names, 2)
    assert container.forget_others(account, names, newest.removeprefix("sha256:")) == 1
    (left,) = account.client("ecr").list_images(repositoryName=names.stack)["imageIds"]
    assert left["imageDigest"] == newest
    assert container.remove(account, names)
    assert not container.stands(account, names)


def test_a_repository_of_others_is_left_alone(account: Account, names: Names) -> None:
    account.client("ecr").create_repository(repositoryName=names.stack)
    assert not container.remove(account, names)
    with pytest.raises(DeployError, match="not made by Vizinho"):
        container.make(account, names)


def test_the_function_gets_the_image_by_its_digest(
    account: Account, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def build_context(gallery: Path, folder: Path, target: Any, cache: Path, progress: Any) -> str:
        seen.update(gallery=gallery, target=target)
        folder.mkdir()
        return "context"

    def push_image(context: str, folder: Path, target: Any, address: str, client: Any) -> Any:
        assert (context, folder.is_dir()) == ("context", True)
        return package_image.Image(f"{address}@sha256:abc", "sha256:abc", 7, True)

    monkeypatch.setattr(package_image, "build_context", build_context)
    monkeypatch.setattr(package_image, "push_image", push_image)
    options = DeployOptions(
        gallery=tmp_path, name="toy", cache=tmp_path, package="image", architecture="arm64"
    )
    code = container.push(account, names, options, tmp_path / "packed")
    assert code.place.endswith(f"/{names.stack}@sha256:abc")
    assert (code.digest, code.bytes, code.uploaded) == ("abc", 7, True)
    assert seen["gallery"] == tmp_path / "packed"
    assert seen["target"].architecture == "arm64"
    # What it was built in is gone.
    assert list(tmp_path.iterdir()) == []
