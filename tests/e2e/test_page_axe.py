"""axe-core finds nothing in any view or state: both themes, both languages, desktop and 320 px."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, Visit, open_page
from page_states import READ_ONLY, STATES
from serving import Server, running
from showcase import make_showcase

pytestmark = NEEDS_CHROMIUM

SIZES = {"desktop": (1280, 900), "narrow": (320, 700)}
LANGUAGES = {"en": "en", "pt": "pt-BR"}
# All rules that are on, and one of WCAG 2.2 that is not on by itself.
RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# All that another theme could change.
COLOURS = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_showcase(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[Server]:
    with running(folder, writable=True, image_url_hosts=["*"]) as server:
        yield server


@pytest.fixture(scope="module")
def stays(browser: Browser, shown: Server) -> Iterator[Visit]:
    """One page for all states: loading it anew each time would take most of the time."""
    visit = open_page(browser, shown.url, reduced_motion="reduce")
    yield visit
    visit.page.close()


def axe_script() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text()


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    """Each rule that is broken with the elements that break it."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe_script())  # by way of the debugger, which the page's policy lets through
    found = page.evaluate("(options) => window.axe.run(document, options)", options)
    return [
        f"{each['id']}: {each['help']}: "
        + "; ".join(
            f"{node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()})"
            for node in each["nodes"][:4]
        )
        for each in found["violations"]
    ]


def themed(page: Page, theme: str) -> None:
    """As theme.js does it; its button can't be pressed while a dialog is open."""
    page.evaluate(
        """(theme) => {
            document.documentElement.dataset.theme = theme;
            document.documentElement.dispatchEvent(new CustomEvent("themechange"));
        }""",
        theme,
    )


def broken(page: Page, name: str, language: str) -> dict[str, list[str]]:
    """What is broken in a state, by size and theme."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator(f'#languages [data-language="{language}"]').click()
    expect(page.locator("html")).to_have_attribute("lang", LANGUAGES[language])
    found = {}
    with STATES[name](page):
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            for theme, options in (("light", RULES), ("dark", COLOURS)):
                themed(page, theme)
                found[f"{name}, {language}, {size}, {theme}"] = violations(page, options)
    return {where: rules for where, rules in found.items() if rules}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing(stays: Visit, name: str, language: str) -> None:
    assert broken(stays.page, name, language) == {}


def test_axe_finds_nothing_where_nobody_may_write(browser: Browser, folder: Path) -> None:
    with running(folder) as server:
        visit = open_page(browser, server.url, reduced_motion="reduce")
        found = [broken(visit.page, name, "pt") for name in READ_ONLY]
        assert [each for each in found if each] == []
        visit.tidy()
        visit.page.close()


def test_axe_would_find_something(stays: Visit) -> None:
    """Without a name, and in grey on grey: both kinds of runs see it."""
    page = stays.page
    page.evaluate(
        """() => {
            const made = document.createElement("button");
            made.id = "broken";
            document.querySelector("main").append(made);
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#999";
            faint.style.background = "#aaa";
            made.after(faint);
        }"""
    )
    assert any(each.startswith("button-name") for each in violations(page, RULES))
    assert any(each.startswith("color-contrast") for each in violations(page, COLOURS))
    page.reload()
