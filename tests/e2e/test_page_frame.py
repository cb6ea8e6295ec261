"""What is around every view: languages, themes, the way between views; and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    file,
    found_itself,
    open_page,
    tiles,
)
from serving import Server, key_of, picture, running

pytestmark = NEEDS_CHROMIUM

GROUND = "() => getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(250, 249, 247)", "rgb(19, 20, 23)"


def press_theme(page: Page, told: str) -> str:
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_attribute("aria-label", f"Theme: {told}")
    return str(page.evaluate(GROUND))


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_systems_until_it_is_chosen(
    browser: Browser, server: Server, system: Any
) -> None:
    page = open_page(browser, server.url, color_scheme=system).page
    ours = LIGHT if system == "light" else DARK
    assert page.evaluate(GROUND) == ours
    assert press_theme(page, "light") == LIGHT
    assert press_theme(page, "dark") == DARK
    page.reload()
    assert page.evaluate(GROUND) == DARK
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: dark")
    assert press_theme(page, "as the system") == ours
    page.reload()
    assert page.evaluate(GROUND) == ours
    page.close()


def test_the_chosen_theme_is_there_before_anything_is_drawn(
    browser: Browser, server: Server
) -> None:
    page = open_page(browser, server.url, color_scheme="light").page
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.route(
        "**/static/*.js", lambda route: None if "app" in route.request.url else route.continue_()
    )
    page.reload(wait_until="commit")
    expect(page.locator("#drop")).to_be_visible()
    assert page.evaluate(GROUND) == DARK
    page.close()


@pytest.mark.parametrize(
    ("locale", "language", "says"),
    [
        ("pt-BR", "pt-BR", "Ou comece por uma destas"),
        ("pt-PT", "pt-BR", "Ou comece por uma destas"),
        ("en-US", "en", "Or start from one of these"),
        ("de-DE", "en", "Or start from one of these"),
    ],
)
def test_the_language_is_the_browsers(
    browser: Browser, server: Server, locale: str, language: str, says: str
) -> None:
    page = open_page(browser, server.url, locale=locale).page
    expect(page.locator("#samples-title")).to_have_text(says)
    expect(page.locator("html")).to_have_attribute("lang", language)
    page.close()


def test_the_language_changes_all_that_is_said_and_is_kept(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    asked = len(visit.requests)
    page.get_by_role("button", name="PT: português").click()
    expect(page.locator("#found-title")).to_have_text("Imagens mais próximas")
    expect(page.locator("#status")).to_contain_text("20 encontradas em")
    expect(page.locator("#status")).to_contain_text("a mais próxima: doce a 0,00")
    expect(tiles(page).first.locator(".kind")).to_have_text("Idêntica")
    expect(tiles(page).first.locator(".distance")).to_have_text("0,00")
    expect(page).to_have_title("Vizinho: busca por imagem")
    assert page.locator("#label option").first.inner_text() == "todos"
    again = [each.url for each in visit.requests[asked:] if "/static/" not in each.url]
    assert [url for url in again if "/v1/" in url] == []
    page.reload()
    expect(page.locator("#choose")).to_have_text("Escolher imagem")
    page.get_by_role("button", name="EN: English").click()
    expect(page.locator("#choose")).to_have_text("Choose a picture")
    visit.tidy()


def test_a_link_may_name_its_language(browser: Browser, server: Server) -> None:
    page = open_page(browser, server.url, f"/?lang=pt&key={key_of(7)}").page
    expect(page.locator("#found-title")).to_have_text("Imagens mais próximas")
    page.get_by_role("button", name="EN: English").click()
    expect(page.locator("#found-title")).to_have_text("Nearest pictures")
    assert "lang=en" in page.url
    page.reload()
    expect(page.locator("#found-title")).to_have_text("Nearest pictures")
    page.close()


def test_no_cookie_is_set_and_only_choices_are_stored(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.locator("#theme").click()
    page.get_by_role("button", name="PT: português").click()
    expect(page.locator("#found-title")).to_have_text("Imagens mais próximas")
    assert page.context.cookies() == []
    assert page.evaluate("({ ...localStorage })") == {"theme": "light", "lang": "pt"}
    assert page.evaluate("({ ...sessionStorage })") == {}
    visit.tidy()


def test_a_browser_that_stores_nothing_still_shows_the_page(
    browser: Browser, server: Server
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })"
    )
    page.goto(server.url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    page.locator("#theme").click()
    assert page.evaluate(GROUND) == LIGHT
    page.get_by_role("button", name="PT: português").click()
    expect(page.locator("#choose")).to_have_text("Escolher imagem")
    context.close()


def test_a_server_that_is_away_at_first_is_explained_and_asked_again(
    browser: Browser, gallery: Path
) -> None:
    with running(gallery) as server:
        page = browser.new_page(locale="en-GB")
        page.route("**/v1/model", lambda route: route.abort())
        page.goto(f"{server.url}/?key={key_of(7)}")
        problem = page.get_by_role("alert").locator("visible=true")
        expect(problem).to_contain_text("The server does not answer")
        expect(page.locator("#status")).to_have_text("No results")
        page.unroute("**/v1/model")
        problem.get_by_role("button", name="Try again").click()
        expect(tiles(page)).to_have_count(SHOWN)
        expect(page.locator("#trouble")).to_be_hidden()
        page.close()


def test_a_view_keeps_what_only_it_asks_for(visit: Visit, server: Server) -> None:
    page = visit.page
    page.goto(f"{server.url}/?view=care&page=1&label=cat")
    search, care = (page.locator(f'#views [data-view="{view}"]') for view in ("search", "care"))
    expect(care).to_have_attribute("aria-current", "page")
    expect(search).to_have_attribute("href", "?label=cat")
    search.click()
    expect(search).to_have_attribute("aria-current", "page")
    assert page.url == f"{server.url}/?label=cat"


def test_the_question_is_kept_on_the_way_through_other_views(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.locator('#views [data-view="care"]').click()
    expect(page).to_have_title("Vizinho: the gallery")
    expect(page.locator("#view-search")).to_be_hidden()
    page.locator('#views [data-view="search"]').click()
    found_itself(page, 7)
    expect(page.locator("#query-name")).to_have_text("mine.png")
    assert len([each for each in visit.requests if each.url.endswith("/v1/search")]) == 1
    page.go_back()
    expect(page).to_have_title("Vizinho: the gallery")
