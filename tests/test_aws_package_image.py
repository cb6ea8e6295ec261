"""The container images: what their recipes promise, the folder they are built from, the push."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from test_architecture import DISTRIBUTIONS, imports
from vizinho.aws import package_image, package_parts
from vizinho.aws.package import Target
from vizinho.aws.package_image import base_image, build_context, find_engine, push_image
from vizinho.errors import DeployError

REPO = Path(__file__).resolve().parents[1]
SERVER = REPO / "Dockerfile"
FUNCTION = REPO / "src" / "vizinho" / "aws" / "Dockerfile"
REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/vizinho-toy"


def instructions(file: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and what they say, continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()
    ]


@pytest.mark.parametrize("file", [SERVER, FUNCTION], ids=["server", "function"])
def test_the_base_is_an_argument_and_a_smoke_test_comes_last(file: Path) -> None:
    steps = instructions(file)
    assert steps[0][0] == "ARG"
    assert steps[0][1].startswith("BASE=")
    froms = [said for kind, said in steps if kind == "FROM"]
    assert [said.split()[0] for said in froms] == ["${BASE}", "${BASE}"]
    kind, said = steps[-1]
    assert (kind, "python" in said) == ("RUN", True)


def test_the_function_runs_under_the_runtime_client() -> None:
    steps = dict(instructions(FUNCTION))
    assert steps["ENTRYPOINT"] == '["python", "-m", "awslambdaric"]'
    assert steps["CMD"] == '["vizinho.aws.handler.handler"]'
    assert f"ARG BASE={base_image(Target())}" in FUNCTION.read_text()


def test_the_server_has_no_rights_and_says_whether_it_is_well() -> None:
    steps = dict(instructions(SERVER))
    assert int(steps["USER"].split(":")[0]) > 0
    assert "/health" in steps["HEALTHCHECK"]
    assert steps["VOLUME"] == "/gallery"
    assert steps["ENTRYPOINT"] == '["vizinho", "serve"]'


def test_the_server_installs_what_serving_imports_and_only_what_is_declared() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    listed = {
        line
        for line in (REPO / "deployment" / "server.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert listed <= set(project["dependencies"])
    names = {re.split(r"[\[>=]", line)[0] for line in listed}
    for module in package_parts.modules(("vizinho.cli.serve", "vizinho.serve.run")):
        tree = ast.parse((package_parts.SOURCES / module).read_text())
        foreign = {name.split(".")[0] for name in imports(tree, "vizinho")}
        # An extra: without it a gallery in Milvus is refused with a sentence.
        late = {"pymilvus"} if "engines" in module.parts else set()
        # Another: without it the map is made by principal components, which it says.
        late |= {"sklearn"} if "projection" in module.parts else set()
        assert {DISTRIBUTIONS.get(n, n) for n in foreign - late} - _given() <= names, module


def _given() -> set[str]:
    import sys

    return {*sys.stdlib_module_names, "vizinho", "python_multipart"}


def test_the_servers_context_holds_all_that_its_recipe_copies() -> None:
    allowed = {
        line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        said for kind, said in instructions(SERVER) if kind == "COPY" and "--from" not in said
    ]
    wanted = {source.removeprefix("./") for said in copied for source in said.split()[:-1]}
    assert wanted == allowed
    assert all((REPO / name).exists() for name in allowed)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "numpy.py").write_text("")
    monkeypatch.setattr(package_image, "libraries", lambda *a, **k: shelf)
    gallery = tmp_path / "photos.vizinho"
    gallery.mkdir()
    (gallery / "gallery.json").write_text("{}")
    (gallery / "gallery.json").chmod(0o600)
    folder = tmp_path / "context"
    return build_context(gallery, folder, Target(), tmp_path / "cache"), folder


def test_the_context_has_everything_and_anybody_may_read_it(context: tuple[str, Path]) -> None:
    digest, folder = context
    for name in (
        "Dockerfile",
        "libraries/numpy.py",
        "code/vizinho/aws/handler.py",
        "gallery/gallery.vizinho/gallery.json",
    ):
        assert (folder / name).stat().st_mode & 0o777 == 0o644
    copied = [said.split()[0] for kind, said in instructions(FUNCTION) if kind == "COPY"]
    assert all((folder / name).is_dir() for name in copied if not name.startswith("--"))
    assert len(digest) == 64


def engine_in(folder: Path, *, fails: str = "", says: str = "") -> Path:
    """A stand-in for docker that writes down what it is told; ``fails`` at that verb."""
    folder.mkdir(exist_ok=True)
    engine = folder / "docker"
    engine.write_text(
        f'#!/bin/sh\necho "$@" >> "{folder}/told"\n'
        f'[ "$1" = login ] && cat >> "{folder}/password"\n'
        f'if [ "$1" = "{fails}" ]; then echo "{says}" >&2; exit 1; fi\n'
    )
    engine.chmod(0o755)
    return engine


class Ecr:
    """boto3's client for ECR, as far as it is asked; holds an image once one was pushed."""

    def __init__(self, told: Path) -> None:
        self.told = told
        self.exceptions = type("E", (), {"ImageNotFoundException": type("N", (Exception,), {})})

    def describe_images(self, repositoryName: str, imageIds: list[Any]) -> dict[str, Any]:
        tag = imageIds[0]["imageTag"]
        if not self.told.exists() or f"push {REPOSITORY}:{tag}" not in self.told.read_text():
            raise self.exceptions.ImageNotFoundException
        assert repositoryName == "vizinho-toy"
        return {"imageDetails": [{"imageDigest": "sha256:abc", "imageSizeInBytes": 7}]}

    def get_authorization_token(self) -> dict[str, Any]:
        return {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}


def test_an_image_is_built_and_pushed_once(context: tuple[str, Path], tmp_path: Path) -> None:
    engine = engine_in(tmp_path / "bin")
    client = Ecr(tmp_path / "bin" / "told")
    steps: list[str] = []
    target = Target("3.12", "arm64")
    arguments = (*context, target, REPOSITORY, client)
    image = push_image(*arguments, engine=str(engine), on_step=steps.append)
    told = client.told.read_text().splitlines()
    assert steps == ["build", "sign in", "push"]
    assert [line.split()[0] for line in told] == ["build", "login", "push"]
    assert "--platform linux/arm64" in told[0]
    assert "--build-arg BASE=public.ecr.aws/lambda/python:3.12" in told[0]
    assert "secret" not in "".join(told)
    assert (tmp_path / "bin" / "password").read_text() == "secret"
    assert (image.uri, image.bytes, image.uploaded) == (f"{REPOSITORY}@sha256:abc", 7, True)
    again = push_image(*arguments, engine=str(engine))
    assert (again.uri, again.uploaded) == (image.uri, False)
    assert client.told.read_text().splitlines() == told


@pytest.mark.parametrize(
    ("verb", "said", "told"),
    [
        ("build", "exec format error", "can't run programs for x86_64"),
        ("build", "base not found", "can't be built: base not found"),
        ("login", "denied", "doesn't let docker in: denied"),
        ("push", "broken pipe", "can't be pushed to .*: broken pipe"),
    ],
)
def test_what_an_engine_refuses_is_told(
    verb: str, said: str, told: str, context: tuple[str, Path], tmp_path: Path
) -> None:
    engine = engine_in(tmp_path / "bin", fails=verb, says=said)
    client = Ecr(tmp_path / "nothing")
    with pytest.raises(DeployError, match=told):
        push_image(*context, Target(), REPOSITORY, client, engine=str(engine))


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DeployError, match="neither docker nor podman") as told:
        find_engine()
    assert "--package zip" in told.value.hint
    engine_in(tmp_path / "bin", fails="info")
    with pytest.raises(DeployError, match="docker is installed, but"):
        find_engine()
