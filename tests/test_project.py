"""The Makefile and the CI's plugin: what they would do, without doing it for minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder, with a space in its path, that holds what make needs to plan its work."""
    folder = tmp_path / "my projects" / "vizinho"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(checkout: Path, *arguments: str, **env: str) -> str:
    """What make prints."""
    if shutil.which("make") is None:
        pytest.skip("make is not on this machine")
    kept = {name: value for name, value in os.environ.items() if name != "VIZINHO_DATA"}
    # This test may itself be run by make, whose children would else inherit its options.
    kept = {name: value for name, value in kept.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *arguments], cwd=checkout, env={**kept, **env}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_installs_no_torch(checkout: Path) -> None:
    plan = make(checkout, "--dry-run", "demo")
    assert '--editable ".[report]"' in plan
    assert "vizinho index cifar10:test" in plan
    assert "vizinho serve" in plan
    assert "torch" not in plan.replace("no torch", "")


def test_the_tests_pin_torch_before_anything_asks_for_it(checkout: Path) -> None:
    plan = make(checkout, "--dry-run", "test")
    assert 0 < plan.index(" torch==2.13.0") < plan.index("[train]") < plan.index("pytest")


def test_what_is_installed_stays_until_the_project_changes(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").touch()
    for stamp in (".run", ".test"):
        (checkout / ".venv" / stamp).touch()
    for apart in (".venv-sam", ".venv-node"):
        (checkout / apart).mkdir()
        (checkout / apart / ".done").touch()
    assert "install" not in make(checkout, "--dry-run", "test")
    old = (checkout / ".venv" / ".run").stat().st_mtime - 10
    os.utime(checkout / ".venv" / ".run", (old, old))
    assert "install" in make(checkout, "--dry-run", "test")


def test_the_data_folder_beside_the_checkout_comes_first(checkout: Path) -> None:
    show = ("--eval", 'show:; @echo "$$VIZINHO_DATA"', "show")
    assert make(checkout, *show, VIZINHO_DATA="/mine").strip() == "/mine"
    shared = checkout.parent / "shared" / "datasets"
    shared.mkdir(parents=True)
    assert make(checkout, *show, VIZINHO_DATA="/mine").strip() == str(shared)


def test_help_lists_every_target(checkout: Path) -> None:
    shown = {line.split()[1] for line in make(checkout, "help").splitlines()}
    assert shown == {
        *("help", "demo", "test", "sam", "lighthouse", "lint"),
        *("bench", "docs", "screenshots", "clean"),
    }


SUITE = """
import pytest

def test_passes(): pass

@pytest.mark.skip(reason="no browser")
def test_marked(): pass

def test_skips_itself(): pytest.skip("no data")

@pytest.mark.xfail
def test_expected_failure(): assert False
"""


@pytest.mark.parametrize(
    ("plugin", "closing"),
    [
        ([], "1 passed, 2 skipped, 1 xfailed"),
        (["-p", "plugins_noskip"], "1 failed, 1 passed, 1 xfailed, 1 error"),
    ],
)
def test_where_nothing_may_be_skipped_a_skip_is_a_failure(
    tmp_path: Path, plugin: list[str], closing: str
) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, *plugin, str(tmp_path)], capture_output=True, text=True, env=env
    )
    assert closing in done.stdout.splitlines()[-1]
    assert done.returncode == bool(plugin)
    if plugin:
        assert "Nothing may be skipped here, but: Skipped: no browser" in done.stdout


def test_a_module_that_skips_itself_is_a_failure_too(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, "-p", "plugins_noskip", str(tmp_path)], capture_output=True, text=True, env=env
    )
    assert done.returncode != 0
    assert "could not import 'no_such_module'" in done.stdout
