"""What another process changes is seen by a running server, within a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from serving import key_of, make_gallery, picture, running, upload
from toys import encode, noise, write_pictures
from vizinho.gallery import Gallery, NewImage

SECOND = 1.0


def test_changes_of_another_process_are_seen_without_a_restart(tmp_path: Path) -> None:
    path = make_gallery(tmp_path)
    new = encode(noise(7000))
    with running(path) as server, Gallery.open(path) as gallery:
        client = server.client

        def first(data: bytes) -> dict[str, object]:
            answer = client.post("/v1/search", **upload(data), data={"k": "1"})
            assert answer.status_code == 200, answer.text
            return dict(answer.json()["results"][0])

        def seen(what: Callable[[], bool]) -> None:
            # Counted from when the other process has committed; a slow machine may take long to
            # answer, so what counts is when the answer was asked for.
            start = time.perf_counter()
            while True:
                asked = time.perf_counter() - start
                if what():
                    return
                assert asked < SECOND

        assert first(new)["key"] != "new.png"
        gallery.add([NewImage(new, key="new.png", label="before")])
        seen(lambda: (first(new)["key"], first(new)["distance"]) == ("new.png", 0))
        assert client.get("/images/new.png").content == new
        seen(lambda: client.get("/v1/model").json()["images"] == gallery.count)

        gallery.set_labels([("new.png", "after")])
        seen(lambda: first(new)["label"] == "after")
        seen(lambda: client.get("/v1/images/new.png").json()["label"] == "after")

        gallery.remove(["new.png", key_of(3)])
        seen(lambda: first(new)["key"] != "new.png")
        seen(lambda: first(picture(3))["key"] != key_of(3))
        assert client.get("/images/new.png").status_code == 404

        # A folder that the gallery did not mirror when the server opened it.
        write_pictures(tmp_path / "photos", 3, seed=9)
        gallery.sync_folder(tmp_path / "photos")
        data = (tmp_path / "photos" / "0001.png").read_bytes()
        seen(lambda: first(data)["key"] == "0001.png")
        assert client.get("/images/0001.png").content == data
