"""A page that is kept waiting, and pictures given to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, Route

from serving import as_base64

GIVE = """(kind) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(window.bytes), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], "mine.png", { type: "image/png" }));
    const all = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { ...all, clipboardData: data })
        : new DragEvent(kind, { ...all, dataTransfer: data });
    return !document.body.dispatchEvent(event);
}"""
"""Drop or paste ``window.bytes`` as a file; whether somebody took it (a drop) for themselves."""


def held(page: Page, pattern: str) -> Callable[[], None]:
    """Hold back what the page asks of an address until the returned function is called."""
    waiting: list[Route] = []
    through = False

    def hold(route: Route) -> None:
        if through:
            route.continue_()
        else:
            waiting.append(route)

    page.route(pattern, hold)

    def let() -> None:
        nonlocal through
        through = True
        for route in waiting:
            route.continue_()

    return let


def with_bytes(page: Page, data: bytes) -> None:
    page.evaluate("text => { window.bytes = text; }", as_base64(data))
