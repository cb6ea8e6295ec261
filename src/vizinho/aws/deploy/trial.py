"""The first query: whether what was deployed answers, rightly, and shows its pictures."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizinho.aws.deploy.pictures import rows
from vizinho.errors import DeployError, VizinhoError
from vizinho.images import content_hash

if TYPE_CHECKING:
    from vizinho.gallery import GalleryView

PATIENCE = 120.0
_ONE_TRY = 40.0
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_NEAR = 0.01
_LARGEST = 3 * 1024 * 1024
_TRIED = 200


@dataclass(frozen=True)
class Trial:
    """A picture of the gallery, searched with: ``distance`` to itself, ``seconds`` until the
    answer was here, ``worked`` those that the function itself counted; ``link`` is where a browser
    finds the picture."""

    key: str
    distance: float
    seconds: float
    worked: float
    link: str


def wait_until_it_answers(url: str, starting: float = 0.0) -> None:
    """Asks ``/health`` until it says 200; ``starting`` is how many seconds a start may take beyond
    the usual. Raises DeployError after `PATIENCE` seconds more than these."""
    end, pause, last = time.monotonic() + PATIENCE + starting, 0.2, ""
    while time.monotonic() < end:
        try:
            # Who gives up early and asks anew has a second environment started.
            with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_ONE_TRY + starting):
                return
        except urllib.error.HTTPError as error:
            last = f"status {error.code}: {error.read(300).decode(errors='replace')}"
        except OSError as error:
            last = str(error)
        time.sleep(pause)
        pause = min(pause * 1.5, 5.0)
    raise DeployError(
        f"{url} does not answer ({last}).",
        "The function's log in CloudWatch says why: `vizinho status aws` names it.",
    )


def try_until_right(url: str, gallery: GalleryView, missing: set[str]) -> Trial:
    """`try_once`, several times if need be: for some seconds after a change AWS may still ask the
    version of before, or not know yet who may read the bucket. Raises DeployError."""
    for pause in _PAUSES:
        try:
            return try_once(url, gallery, missing)
        except DeployError:
            time.sleep(pause)
    return try_once(url, gallery, missing)


def try_once(url: str, gallery: GalleryView, missing: set[str]) -> Trial:
    """Search with a picture of the gallery: it must find itself first, at 0.00, and its link must
    show it. Raises DeployError."""
    key, data = _picture(gallery, missing)
    body: dict[str, Any] = {"k": 50}
    if data is None:
        body["key"] = key
    else:
        body["image_base64"] = base64.b64encode(data).decode()
    began = time.monotonic()
    answer = _post(f"{url.rstrip('/')}/v1/search", body)
    seconds = time.monotonic() - began
    worked = float(answer.get("took_ms", seconds * 1000)) / 1000
    wanted = gallery.get(key).hash
    # Two pictures of the same bytes are equally near, so the one asked with may come second.
    for match in answer.get("results", ()):
        near = match["distance"] < _NEAR
        if near and (match["key"] == key or gallery.get(match["key"]).hash == wanted):
            if data is not None:
                _follow(match["url"], wanted)
            return Trial(key, float(match["distance"]), seconds, worked, match["url"])
        if not near:
            break
    raise DeployError(
        f"The function answers, but {key} does not find itself: {json.dumps(answer)[:300]}",
        "Run it again; if that stays so, the package and the gallery do not fit together.",
    )


def _picture(gallery: GalleryView, missing: set[str]) -> tuple[str, bytes | None]:
    first: str | None = None
    for tried, row in enumerate(rows(gallery)):
        if tried >= _TRIED and first is not None:
            break
        if row.key in missing:
            continue
        first = first or row.key
        try:
            data, _ = gallery.image_bytes(row.key)
        except VizinhoError:
            continue
        if len(data) <= _LARGEST and content_hash(data) == row.hash:
            return row.key, data
    if first is None:
        raise DeployError(f"{gallery.path} has no picture to try the function with.")
    return first, None


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        told = error.read(300).decode(errors="replace")
        raise DeployError(f"{url} answers {error.code}: {told}") from error
    except (OSError, ValueError) as error:
        raise DeployError(f"{url} can't be asked: {error}", "Run it again.") from error


def _follow(link: str, hash: str) -> None:
    shown = link.partition("?")[0]
    try:
        with urllib.request.urlopen(link, timeout=30) as answer:
            data = answer.read()
    except OSError as error:
        raise DeployError(
            f"The function answers, but its link {shown} shows no picture: {error}",
            "Run it again; `vizinho status aws` says whether the bucket is public or private.",
        ) from error
    if content_hash(data) != hash:
        raise DeployError(f"The link {shown} shows other bytes than the gallery's.")
