"""The provenance that a finished training writes into its bundle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vizinho.train import finish  # noqa: E402

pytestmark = pytest.mark.train

NAMED = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")


def test_the_commit_is_that_of_vizinho_not_of_the_project_it_is_installed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *NAMED, *words], cwd=tmp_path, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    if shutil.which("git") is None:
        pytest.skip("git is not on this machine")
    git("init", "--quiet")
    (tmp_path / "mine.txt").write_text("somebody's own project")
    git("add", "mine.txt")
    git("commit", "--quiet", "--message", "mine")
    module = tmp_path / ".venv" / "finish.py"
    module.parent.mkdir()
    module.write_text("installed")
    monkeypatch.setattr(finish, "__file__", str(module))
    assert finish.commit() is None
    git("add", "--force", str(module))
    git("commit", "--quiet", "--message", "ours")
    assert finish.commit() == git("rev-parse", "HEAD")
    module.write_text("changed")
    assert finish.commit() == git("rev-parse", "HEAD") + "+"
