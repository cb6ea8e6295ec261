"""A web page of elsewhere, in a real browser, over a server on this machine."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from page_host import answering
from serving import make_gallery, running

ROUTES = ("/v1/map", "/v1/duplicates")
_ASK = """urls => Promise.all(urls.map(
    url => fetch(url, {mode: "no-cors"}).then(() => true, () => false)))"""
_READ = "urls => Promise.all(urls.map(url => fetch(url).then(a => a.status, () => 0)))"


def test_it_begins_no_work_unless_it_was_let_in(tmp_path: Path, browser: Browser) -> None:
    path = make_gallery(tmp_path, 6)
    headers = {"Content-Type": "text/html"}
    with (
        answering(lambda _: (200, headers, b"<title>elsewhere</title>")) as origin,
        running(path, writable=True) as closed,
        running(path, writable=True, cors_origins=[origin]) as opened,
    ):
        page = browser.new_page()
        page.goto(origin)
        assert page.evaluate(_ASK, [closed.url + route for route in ROUTES]) == [True, True]
        statuses = page.evaluate(_READ, [opened.url + route for route in ROUTES])
        assert set(statuses) <= {200, 202}, statuses
        page.close()
        page = browser.new_page()
        page.goto(closed.url)
        own = page.evaluate(_READ, [closed.url + route for route in ROUTES])
        assert set(own) <= {200, 202}, own
        page.close()
        closed.stop()
        for route in ROUTES:
            asked = [line for line in closed.log if f"GET {route} " in line]
            assert [" 403 " in line for line in asked] == [True, False], asked
