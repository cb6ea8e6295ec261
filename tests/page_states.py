"""Every view and state of the page, each reached as a person would, from wherever the page is.

`STATES` has them by name; each is a context manager over an open page on `showcase.make_showcase`
under a server with ``writable=True``, and leaves the page so that the next can begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page, expect

from browsing import choose, file, tiles
from showcase import TWICE, of_kind, stranger

State = Callable[[Page], AbstractContextManager[None]]
STATES: dict[str, State] = {}


def state(visit: Callable[[Page], Iterator[None]]) -> State:
    """Lists a state under its function's name."""
    made = contextmanager(visit)
    STATES[visit.__name__] = made
    return made


def settle(page: Page) -> None:
    """All pictures in view are there, and nothing is being searched."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.wait_for_function(
        """() => [...document.images].every((one) => one.complete || !one.getClientRects().length
            || one.getBoundingClientRect().top > innerHeight)"""
    )


def restart(page: Page) -> None:
    if page.locator("dialog[open]").count():  # a test failed in there
        page.keyboard.press("Escape")
    page.locator("#brand").click()
    expect(page.locator(".sample:enabled").first).to_be_visible()


def ask(page: Page, payload: FilePayload) -> None:
    choose(page, payload)
    expect(tiles(page).first).to_be_visible()
    settle(page)


def go(page: Page, view: str, part: str = "") -> None:
    page.locator(f'#views [data-view="{view}"]').click()
    if part:
        page.locator(f'.parts [data-part="{part}"]').click()


def act(tile: Locator, name: str) -> None:
    """Press one of a result's buttons, which show when the result is pointed at or focused."""
    tile.locator(f".act-{name}").focus()
    tile.page.keyboard.press("Enter")


@state
def start(page: Page) -> Iterator[None]:
    restart(page)
    settle(page)
    yield


@state
def results(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(of_kind("azulejo", 0), "azulejo.png"))
    expect(page.locator(".tile.kind-identical").first).to_be_visible()
    expect(page.locator(".tile.kind-near-duplicate").first).to_be_visible()
    yield


@state
def filtered(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(of_kind("azulejo", 500), "new.png"))
    page.locator("#label").select_option(index=2)
    page.locator("#sort").select_option("name")
    settle(page)
    yield


@state
def several(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(of_kind("céu", 500), "sky.png"))
    act(tiles(page).nth(1), "plus")
    expect(page.locator("#chips .chip")).to_have_count(2)
    settle(page)
    act(tiles(page).nth(4), "minus")
    expect(page.locator("#chips .chip.against")).to_have_count(1)
    settle(page)
    yield


@state
def cropped(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(of_kind("telhado", 1), "roof.png"))
    page.locator(".crop-toggle").click()
    expect(page.locator(".crop-box")).to_be_visible()
    settle(page)
    yield


@state
def nothing_alike(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(stranger(), "stranger.png"))
    expect(page.locator("#grid.guesses")).to_be_visible()
    yield


@state
def error(page: Page) -> Iterator[None]:
    restart(page)
    choose(page, file(b"words, not pixels", "notes.png"))
    expect(page.locator("#problem")).not_to_be_empty()
    yield


@state
def compare(page: Page) -> Iterator[None]:
    restart(page)
    ask(page, file(of_kind("azulejo", 0), "azulejo.png"))
    tiles(page).nth(2).locator(".open").click()
    dialog = page.locator("dialog.compare")
    expect(dialog.locator(".compare-seen").first).to_be_visible()
    settle(page)
    yield
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


@state
def camera(page: Page) -> Iterator[None]:
    restart(page)
    page.locator("#camera").click()
    dialog = page.locator("dialog.camera")
    # There is none on this machine, which is said in words, with another way.
    expect(dialog.get_by_role("button")).to_have_count(2)
    yield
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


@state
def gallery_map(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "map")
    expect(page.locator("#view-map canvas").first).to_be_visible()
    settle(page)
    yield


@state
def browse(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care")
    expect(page.locator(".pick").first).to_be_visible()
    settle(page)
    yield


@state
def care(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care")
    picks = page.locator(".pick input:enabled")
    expect(picks.first).to_be_visible()
    picks.nth(1).check()
    picks.nth(2).check()
    expect(page.locator("form.bar")).to_be_visible()
    settle(page)
    yield
    page.locator("form.bar .link").click()


@state
def removed(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care")
    pick = page.locator(".pick input:enabled").nth(3)
    pick.check()
    page.locator("form.bar .danger").click()
    undo = page.locator(".toast .link")
    undo.focus()  # which stops the clock, too
    settle(page)
    yield
    undo.click()
    expect(page.locator(".pick.going")).to_have_count(0)


@state
def uploading(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care", "add")
    held: list[Any] = []
    page.route("**/v1/images", lambda route: held.append(route))
    page.locator("#add-files").set_input_files([file(of_kind("céu", 700 + n)) for n in range(3)])
    expect(page.locator(".sending progress")).to_be_visible()
    yield
    page.locator(".sending .bar-acts button").first.click()
    for route in held:
        route.abort()
    page.unroute("**/v1/images")


@state
def uploaded(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care", "add")
    given = [
        file(of_kind("azulejo", 0), "again.png"),  # is there
        file(of_kind("céu", 900), "fresh.png"),
        file(b"words, not pixels", "notes.png"),
    ]
    page.locator("#add-files").set_input_files(given)
    expect(page.locator(".skips details").first).to_be_visible()
    expect(page.locator(".sending progress")).to_be_hidden()
    page.locator(".skips details:not([open]) summary").first.click()
    yield


@state
def duplicates(page: Page) -> Iterator[None]:
    restart(page)
    go(page, "care", "duplicates")
    # Two processes' start and a comparison of all with all: long, on a machine that trains.
    expect(page.locator(".group").first).to_be_visible(timeout=180_000)
    settle(page)
    yield


@state
def feedback(page: Page) -> Iterator[None]:
    page.goto(page.url.split("?")[0] + f"?key={TWICE}")
    marks = tiles(page).nth(3).locator(".mark-right")
    marks.focus()
    if marks.get_attribute("aria-pressed") == "false":
        page.keyboard.press("Enter")
    expect(marks).to_have_attribute("aria-pressed", "true")
    go(page, "care", "feedback")
    expect(page.locator(".given .mark").first).to_be_visible()
    settle(page)
    yield


@state
def lost(page: Page) -> Iterator[None]:
    """A question about a picture that is no longer there."""
    page.goto(page.url.split("?")[0] + "?key=azulejo/gone.png")
    expect(page.locator("#problem")).not_to_be_empty()
    yield


READ_ONLY = ("start", "results", "compare", "gallery_map", "browse")
"""States that a server has which lets nobody write."""
