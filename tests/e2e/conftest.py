"""A browser and a server for all tests of the page: starting either takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from browsing import ARGUMENTS, CHROMIUM, Visit, open_page
from map_view import large as large
from serving import Server, make_gallery, running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: playwright keeps an event loop in this thread while it is open,
    # and no other test could run one of its own.
    with sync_playwright() as playwright:
        # Patient: the machine that runs this may be busy with a training.
        expect.set_options(timeout=60_000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def server(gallery: Path) -> Iterator[Server]:
    with running(gallery, max_upload_bytes=2_000_000) as server:
        yield server


@pytest.fixture
def writable(path: Path) -> Iterator[Server]:
    """A server that may change the gallery which a test's module makes as ``path``."""
    with running(path, writable=True) as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    visit = open_page(browser, server.url)
    yield visit
    visit.page.close()


@pytest.fixture(scope="session")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where functions' packages are built: fetching their libraries takes long, and once will do.

    ``VIZINHO_TEST_KITCHEN`` names one that outlives the session.
    """
    named = os.environ.get("VIZINHO_TEST_KITCHEN")
    return Path(named) if named else tmp_path_factory.mktemp("kitchen")
