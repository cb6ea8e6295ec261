"""The function as an image under ``sam build`` and ``sam local start-api``, with the page in a
browser on it.

Needs podman, and a base image that is here or can be pulled; ``VIZINHO_TEST_LAMBDA_BASE`` names
another one than AWS's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

from aws_account.http_side import Answer, Listener, Request
from browsing import ARGUMENTS, CHROMIUM, NEEDS_CHROMIUM, choose, file, open_page, tiles
from rie import find_rie
from serving import as_base64, key_of, make_gallery, picture
from vizinho.gallery import GalleryView
from vizinho.gallery.pack import pack

BASE = os.environ.get("VIZINHO_TEST_LAMBDA_BASE", "public.ecr.aws/lambda/python:3.13")
pytestmark = [
    *NEEDS_CHROMIUM,
    pytest.mark.podman,
    pytest.mark.skipif(shutil.which("podman") is None, reason="there is no podman here"),
]
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Search:
    Type: AWS::Serverless::Function
    Metadata: {Dockerfile: Dockerfile, DockerContext: ., DockerTag: rehearsal, DockerBuildArgs: %s}
    Properties:
      PackageType: Image
      Timeout: 120
      MemorySize: 1024
      Environment:
        Variables: {VIZINHO_LINKS: public, VIZINHO_CORS: "*"}
      Events:
        All: {Type: HttpApi}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[dict[str, str]]:
    """podman as a service that SAM takes for docker; the environment to find it."""
    if subprocess.run(["podman", "image", "exists", BASE]).returncode:
        pulled = subprocess.run(["podman", "pull", "--quiet", BASE], capture_output=True, text=True)
        if pulled.returncode:
            pytest.skip(f"the base image {BASE} can't be had: {pulled.stderr.strip()[-200:]}")
    address = f"unix://{tmp_path}/podman.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", address])
    try:
        environment = {"DOCKER_HOST": address, "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path)}
        yield {**os.environ, **environment, "AWS_DEFAULT_REGION": "eu-west-1"}
    finally:
        service.terminate()
        service.wait(30)


def sam() -> str:
    named = os.environ.get("VIZINHO_TEST_SAM")
    rie = find_rie()
    beside = rie.parents[6] / "bin" / "sam" if rie else None
    found = named or (str(beside) if beside and beside.exists() else shutil.which("sam"))
    if not found:
        pytest.skip("there is no SAM CLI here (make sam)")
    return found


def build(folder: Path, kitchen: Path) -> None:
    """A build context with the toy gallery in it, and a template beside."""
    from vizinho.aws.package import Target
    from vizinho.aws.package_image import build_context

    pictures = make_gallery(folder.parent)
    with GalleryView.open(pictures) as gallery:
        pack(gallery, folder.parent / "packed", lambda row: f"s3://no-such-bucket/{row.hash}")
    build_context(folder.parent / "packed", folder, Target(), kitchen / "aws")
    (folder / "template.yaml").write_text(TEMPLATE % json.dumps({"BASE": BASE}))


def test_the_image_under_sam_local(engine: dict[str, str], kitchen: Path, tmp_path: Path) -> None:
    from vizinho.aws.page import build_page

    folder = tmp_path / "context"
    build(folder, kitchen)
    built = subprocess.run(
        [sam(), "build"], cwd=folder, env=engine, capture_output=True, text=True, timeout=900
    )
    assert built.returncode == 0, built.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["local", "start-api", "--port", str(port), "--warm-containers", "EAGER"]
    with (tmp_path / "sam.log").open("w") as log:
        process = subprocess.Popen(
            [sam(), *words], cwd=folder, env=engine, stdout=log, stderr=subprocess.STDOUT
        )
    api = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < end:
            try:
                if httpx.get(f"{api}/health", timeout=120).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(1)
        told = (tmp_path / "sam.log").read_text()
        answer = httpx.post(f"{api}/", content=as_base64(picture(3)), timeout=120)
        assert answer.status_code == 200, told
        assert next(iter(answer.json()["results"].values())) == 0.0
        look(build_page(api, [api]), tmp_path / "page")
    finally:
        process.terminate()
        process.wait(60)


def look(page: bytes, folder: Path) -> None:
    """The page over that API: a picture finds itself; there is no S3 to show the pictures from."""
    import io
    import mimetypes
    import zipfile

    with zipfile.ZipFile(io.BytesIO(page)) as archive:
        archive.extractall(folder)

    def answer(request: Request) -> Answer:
        wanted = folder / (request.path.lstrip("/") or "index.html")
        if not wanted.is_file():
            return Answer(404)
        kind = mimetypes.guess_type(wanted.name)[0] or "application/octet-stream"
        return Answer(200, wanted.read_bytes(), [("Content-Type", kind)])

    listener = Listener(answer)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            visit = open_page(browser, f"http://127.0.0.1:{listener.port}/")
            choose(visit.page, file(picture(7)))
            tiles(visit.page).first.wait_for()
            assert tiles(visit.page).first.get_attribute("title") == key_of(7)
            browser.close()
    finally:
        listener.close()
