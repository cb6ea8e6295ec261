"""From an empty Milvus to a page: the command line and a real server over one address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from milvus_server import MilvusServer
from serving import running
from toys import encode, noise
from vizinho.cli import build_app

pytestmark = pytest.mark.milvus
PATIENCE_SECONDS = 240


@pytest.fixture
def vizinho(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Verbs run in this process: a process for each would take most of the time. What a process
    of its own is for, `test_cli.py` has."""
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))

    return lambda *arguments: CliRunner().invoke(build_app(), arguments)


def answered(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """The first answer with that status; others are asked past for a while."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = ask()
        if answer.status_code == status or time.monotonic() > until:
            assert answer.status_code == status, answer.text
            return answer
        time.sleep(0.3)


def test_one_address_for_every_verb(
    milvus: MilvusServer,
    vizinho: Callable[..., Any],
    pictures: Path,
    toy_bundle: Path,
) -> None:
    place = f"{milvus.uri}/shown"
    nobody = vizinho("list", "-g", place, "--json")
    assert nobody.exit_code == 1
    assert json.loads(nobody.stderr)["error"]["code"] == "gallery_not_found"

    made = vizinho(
        "index", str(pictures), "--engine", place, "--labels", "--model", str(toy_bundle), "--json"
    )
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["added"] == 12
    assert json.loads(made.stdout)["gallery"] == place
    query = str(pictures / "cat" / "0001.png")
    found = vizinho("search", query, "-g", place, "-k", "2", "--json")
    assert json.loads(found.stdout)[0]["key"] == "cat/0001.png"

    with running(Path(place), writable=True) as server:

        def search() -> httpx.Response:
            body: dict[str, Any] = {"key": "cat/0001.png", "k": 1}
            return httpx.post(f"{server.url}/v1/search", json=body, timeout=PATIENCE_SECONDS)

        def get(path: str) -> httpx.Response:
            return httpx.get(f"{server.url}/{path}", timeout=PATIENCE_SECONDS)

        # 503 is what a busy machine's Milvus may be called for a while.
        assert answered(search, 200).json()["results"][0]["distance"] == 0.0
        image = answered(lambda: get("images/cat/0001.png"), 200)
        assert image.content == Path(query).read_bytes()
        # Added over HTTP, found from the command line; and the other way round.
        new = encode(noise(77))
        files = {"image": ("new.png", new, "image/png")}
        added = httpx.post(
            f"{server.url}/v1/images",
            files=files,
            data={"key": "new.png"},
            timeout=PATIENCE_SECONDS,
        )
        assert added.json()["keys"] == ["new.png"]
        # What another process wrote is seen a tick later; a busy machine's ticks are late.
        until = time.monotonic() + PATIENCE_SECONDS
        listed: list[Any] = []
        while len(listed) != 13 and time.monotonic() < until:
            listed = json.loads(vizinho("list", "-g", place, "--json").stdout)
        assert len(listed) == 13
        assert answered(lambda: get("images/new.png"), 200).content == new
        assert vizinho("remove", "cat/0000.png", "-g", place).exit_code == 0
        answered(lambda: get("v1/images/cat/0000.png"), 404)

        milvus.kill()
        try:
            away = search()
        finally:
            milvus.start()
        assert away.status_code == 503
        assert away.json()["error"]["code"] == "gallery_unreachable"
        assert f"127.0.0.1:{milvus.port}" in away.json()["error"]["message"]
        back = answered(search, 200)
        assert back.json()["results"][0]["key"] == "cat/0001.png"
