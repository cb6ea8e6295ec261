"""The docs are true: generated pages are up to date, and the examples run.

A block marked ``bash`` or ``python`` is run; of one marked ``sh`` (it installs, trains, stays) the
commands and options are checked. The blocks of one page run in order, as a reader would.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from toys import make_toy_bundle, noise, write_pictures
from vizinho import Gallery
from vizinho.cli import VERBS, build_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
SERVER = "http://127.0.0.1:8000"

sys.path.insert(0, str(ROOT / "scripts"))
import make_docs  # noqa: E402


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page that are in one of the languages, in order."""
    return [code for language, code in FENCE.findall(page.read_text()) if language in languages]


def identify(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: ``photos``, a ``cat.jpg`` that is one of them, a ``tom.jpg`` that is not.

    ``vizinho`` is on the PATH, and the model for new galleries is the toy one.
    """
    write_pictures(tmp_path / "photos", 12, kind="jpg")
    noise(901).save(tmp_path / "cat.jpg", "JPEG")
    noise(902).save(tmp_path / "tom.jpg", "JPEG")
    shutil.copy(tmp_path / "cat.jpg", tmp_path / "photos")
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "vizinho"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vizinho "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("VIZINHO_MODEL", str(make_toy_bundle(tmp_path)))
    monkeypatch.delenv("VIZINHO_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(reader: Path) -> Iterator[str]:
    """The address of a real server over the reader's photos."""
    with Gallery.create(reader / "served" / "photos.vizinho", model=reader / "toy") as gallery:
        gallery.sync_folder(reader / "photos")
    process = subprocess.Popen(
        ["vizinho", "serve", "--gallery", "served/photos.vizinho", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://[\d.:]+", line)
    assert found, line + process.stderr.read()
    yield found[0]
    process.terminate()
    process.stderr.close()
    process.wait()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "bash")], ids=identify)
def test_shell_examples_run(page: Path, reader: Path, server: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on this machine")
    for code in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code.replace(SERVER, server)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        if "curl" in code and len(code.strip().splitlines()) == 1:
            results = json.loads(done.stdout)["results"]
            first = results[0]["distance"] if isinstance(results, list) else min(results.values())
            assert round(first, 2) == 0, f"{code}\n{done.stdout}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=identify)
def test_python_examples_run(page: Path, reader: Path) -> None:
    with Gallery.create(reader / "photos.vizinho", model=reader / "toy") as gallery:
        gallery.sync_folder(reader / "photos")
    # The shipped model is told apart from the toy one by nothing the examples show.
    code = "\n".join(blocks(page, "python"))
    code = code.replace(
        'Gallery.create("mine.vizinho")', 'Gallery.create("mine.vizinho", model="toy")'
    )
    code = code.replace("Embedder.open()", 'Embedder.open("toy")')
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def commands(page: Path) -> Iterator[list[str]]:
    """Every ``vizinho VERB ...`` of a page's shell blocks, as words."""
    for code in blocks(page, "bash", "sh"):
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "vizinho":
                yield list(itertools.takewhile(lambda word: word != "|", words[1:]))


@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=identify)
def test_commands_and_options_in_examples_exist(page: Path) -> None:
    group: Any = typer.main.get_command(build_app())
    for verb, *words in commands(page):
        known = {name for option in group.commands[verb].params for name in option.opts}
        used = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert used <= known, f"vizinho {verb}: {sorted(used - known)}"


def test_the_command_lines_page_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == make_docs.cli_page(), "run `make docs`"
    assert all(f"## vizinho {verb}\n" in make_docs.cli_page() for verb in VERBS)


def test_the_table_of_routes_is_the_servers() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert page == make_docs.api_page(), "run `make docs`"
    assert "| `POST /v1/search` |" in page


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    source = ROOT / "src" / "vizinho"
    rooms = {path.stem for path in source.iterdir() if not path.stem.startswith(("_", "py"))}
    assert {room for room in rooms if f"`{room}`" not in page} == set()


def test_the_readme_has_its_figures_with_what_they_were_measured_on() -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- figures: begin.*?-->\n(.+?)<!-- figures: end -->", readme, re.S)
    assert found
    assert "| --- |" in found[1]
    assert {word for word in ("Top-1", "core", "n =") if word not in found[1]} == set()


def test_the_changelog_knows_this_version() -> None:
    from vizinho import __version__

    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
