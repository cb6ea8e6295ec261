"""A real server in its own process: limits under load, no way out of the folder, a tidy end."""

from __future__ import annotations

import concurrent.futures as futures
import os
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import Server, as_base64, key_of, make_gallery, picture, running, slow_picture

WORKERS, QUEUE = 1, 4


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("http"))


@pytest.fixture(scope="module")
def server(gallery: Path) -> Iterator[Server]:
    with running(gallery, workers=WORKERS, queue=QUEUE) as server:
        yield server


def raw(server: Server, request: bytes, *, patience: float = 10) -> bytes:
    """What the server answers to these very bytes; no client tidies the path up."""
    with socket.create_connection((server.host, server.port), timeout=patience) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        return answer


def raw_get(server: Server, path: bytes) -> bytes:
    return raw(server, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def search(server: Server, data: bytes) -> httpx.Response:
    return server.client.post("/v1/search", files={"image": ("a.png", data)})


def test_the_thesis_contract_over_the_wire(server: Server) -> None:
    body = httpx.post(server.url, content=as_base64(picture(4))).json()
    urls, distances = list(body["results"]), list(body["results"].values())
    assert len(urls) == 10
    assert distances == sorted(distances)
    assert (urls[0], distances[0]) == (f"{server.url}/images/{key_of(4)}", 0.0)
    assert httpx.get(urls[0]).content == picture(4)


def test_health_answers_while_searches_fill_every_worker(server: Server) -> None:
    slow = slow_picture()
    begun = time.perf_counter()
    with futures.ThreadPoolExecutor(WORKERS + QUEUE) as pool:
        searches = [pool.submit(search, server, slow) for _ in range(WORKERS + QUEUE)]
        times, busy = [], []
        with httpx.Client(base_url=server.url) as client:
            while not all(each.done() for each in searches):
                start = time.perf_counter()
                busy.append(client.get("/health").json()["searches"])
                times.append(time.perf_counter() - start)
                time.sleep(0.01)
    each_search = (time.perf_counter() - begun) / len(searches)
    assert [each.result().status_code for each in searches] == [200] * len(searches)
    assert max(busy) >= 2
    # A blocked loop would answer only between two searches.
    assert statistics.median(times) < each_search / 4
    assert len(times) > 2 * len(searches)


def test_a_flood_is_answered_503_at_once(server: Server) -> None:
    slow = slow_picture()
    flood = 30

    def timed(_: int) -> tuple[httpx.Response, float]:
        start = time.perf_counter()
        return search(server, slow), time.perf_counter() - start

    with futures.ThreadPoolExecutor(flood) as pool:
        answers = list(pool.map(timed, range(flood)))
    by_status: dict[int, list[float]] = {200: [], 503: []}
    for response, seconds in answers:
        by_status[response.status_code].append(seconds)
        if response.status_code == 503:
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["code"] == "queue_full"
    assert len(by_status[200]) >= WORKERS + QUEUE
    assert by_status[503]
    assert statistics.median(by_status[503]) < statistics.median(by_status[200])
    # And it is over when it is over.
    assert search(server, picture(1)).status_code == 200
    assert server.client.get("/health").json()["searches"] == 0


@pytest.mark.parametrize(
    "path",
    [
        b"/images/../catalogue.sqlite",
        b"/images/../../../../../../etc/passwd",
        b"/images/%2e%2e/catalogue.sqlite",
        b"/images/%2e%2e%2fcatalogue.sqlite",
        b"/images/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        b"/images/..%5c..%5cetc%5cpasswd",
        b"/images/%252e%252e/catalogue.sqlite",
        b"/images//etc/passwd",
        b"/images/%2fetc%2fpasswd",
        b"/images/file:///etc/passwd",
        b"/images/test/00001.png%00.png",
        b"/images/%00",
        b"/images/test/./00001.png/../../../gallery.json",
        b"/images/",
        b"/images/test",
        b"/images/planted.png",
        b"/images/folder/passwd",
        b"/images/" + b"a/" * 3000,
        b"/static/..%2fapp.py",
        b"/static/%2e%2e/app.py",
        b"/docs/..%2f..%2fcore.py",
    ],
)
def test_no_way_out_of_the_folder(server: Server, gallery: Path, path: bytes) -> None:
    for name, target in (("planted.png", "/etc/passwd"), ("folder", "/etc")):
        link = gallery / "images" / name
        if not link.is_symlink():
            link.symlink_to(target)
    answer = raw_get(server, path)
    assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer[:300]
    for secret in (b"root:", b"SQLite format", b"fingerprint", b"import "):
        assert secret not in answer


def test_a_stored_picture_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    shown = make_gallery(tmp_path, 12)
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(99))
    stored = [path for path in (shown / "images").rglob("*") if path.is_file()]
    assert len(stored) == 12
    for path in stored:
        path.unlink()
        path.symlink_to(secret)
    with running(shown) as server:
        response = server.client.get(f"/images/{key_of(1)}")
        assert response.status_code != 200
        assert picture(99) not in response.content
        assert set(response.json()) == {"error"}


def test_a_body_too_large_is_refused_from_its_head(gallery: Path) -> None:
    with running(gallery, max_upload_bytes=100_000) as server:
        head = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        start = time.perf_counter()
        with socket.create_connection((server.host, server.port), timeout=10) as connection:
            connection.sendall(head + b"Content-Length: 900000000\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
        assert time.perf_counter() - start < 5


def test_a_body_that_grows_too_large_is_stopped_on_the_way(gallery: Path) -> None:
    with running(gallery, max_upload_bytes=100_000) as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection((server.host, server.port), timeout=10) as connection:
            connection.sendall(head)
            chunk = b"10000\r\n" + b"A" * 0x10000 + b"\r\n"
            connection.setblocking(True)
            answer = b""
            # Never ended: an answer can only come because the server stopped reading on.
            for _ in range(64):
                connection.sendall(chunk)
                connection.settimeout(0.05)
                try:
                    answer = connection.recv(4096)
                    break
                except TimeoutError:
                    connection.settimeout(10)
        assert answer.startswith(b"HTTP/1.1 413 ")
        # A client that insists on sending everything still gets to read why.
        late = search(server, bytes(5_000_000))
        assert (late.status_code, late.json()["error"]["code"]) == (413, "too_large")
        assert search(server, picture(1)).status_code == 200


def test_ends_in_order_with_the_answer_under_way(gallery: Path) -> None:
    with running(gallery) as server:
        slow = slow_picture()
        with futures.ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(search, server, slow)
            while server.client.get("/health").json()["searches"] == 0:
                time.sleep(0.005)
            os.kill(server.process.pid, signal.SIGTERM)
            assert under_way.result().status_code == 200
        assert server.stop() == -signal.SIGTERM
        assert "Traceback" not in "".join(server.log)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)


def test_ctrl_c_ends_without_a_word(gallery: Path) -> None:
    with running(gallery) as server:
        assert server.client.get("/health").status_code == 200
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in "".join(server.log)


def test_access_log_has_a_line_for_a_search_and_none_for_pictures(gallery: Path) -> None:
    with running(gallery) as server:
        search(server, picture(1))
        server.client.get(f"/images/{key_of(1)}")
        server.client.get("/health")
        raw_get(server, b"/images/a%0d%0avizinho.access%20forged")
        server.stop()
    lines = [line for line in server.log if line.startswith("vizinho.access ")]
    assert len(lines) == 2
    assert lines[0].startswith("vizinho.access POST /v1/search 200 ")
    assert "%0D%0Avizinho.access%20forged 404" in lines[1]


def test_what_another_process_adds_is_found_without_a_restart(tmp_path: Path) -> None:
    from vizinho.gallery import Gallery, NewImage

    shown = make_gallery(tmp_path, 12)
    with running(shown) as server:
        before = search(server, picture(500)).json()["results"][0]
        assert before["distance"] > 0
        with Gallery.open(shown) as gallery:
            gallery.add(
                [NewImage(picture(500), key="new.png", label=None, metadata={}, store=True)]
            )
        after = search(server, picture(500)).json()["results"][0]
        assert (after["key"], after["distance"]) == ("new.png", 0.0)


def test_fetches_a_picture_only_from_hosts_it_may(server: Server, gallery: Path) -> None:
    body = {"image_url": f"{server.url}/images/{key_of(6)}"}
    refused = server.client.post("/v1/search", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "image_url_off")
    with running(gallery, image_url_hosts=["127.0.0.1"]) as other:
        found = other.client.post("/v1/search", json=body).json()["results"][0]
        assert (found["key"], found["distance"]) == (key_of(6), 0.0)
        gone = other.client.post("/v1/search", json={"image_url": f"{server.url}/images/none"})
        assert gone.status_code == 422
        assert "404" in gone.json()["error"]["message"]


def test_searches_side_by_side_each_get_their_own_answer(server: Server) -> None:
    def first(number: int) -> str:
        while True:
            response = search(server, picture(number))
            if response.status_code == 200:
                found = response.json()["results"][0]
                assert found["distance"] == 0.0
                return str(found["key"])
            time.sleep(0.02)

    numbers = [number % 40 for number in range(120)]
    with futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first, numbers)) == [key_of(number) for number in numbers]


def test_a_slow_client_holds_nobody_up(server: Server) -> None:
    stop = threading.Event()

    def dribble() -> None:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(head)
            while not stop.wait(0.05):
                connection.sendall(b"A")

    threads = [threading.Thread(target=dribble) for _ in range(3 * (WORKERS + QUEUE))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.2)
        assert search(server, picture(2)).status_code == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
