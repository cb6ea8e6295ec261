"""The real ``vizinho`` in a process of its own: pipes, pseudo-terminals, signals, ports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_data import real
from toy_gallery import make_toy_gallery
from toys import write_pictures

VIZINHO = [sys.executable, "-m", "vizinho"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\]8;[^\x1b]*\x1b\\")
STARTUP_SECONDS = 120

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy gallery and the pictures it was made from."""
    folder = tmp_path_factory.mktemp("cli")
    make_toy_gallery(folder)
    return folder


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would change Vizinho or a terminal."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VIZINHO_", "KITTY", "TERM", "COLOR", "LC_", "TMUX"))
    }
    source = str(Path(__file__).resolve().parents[2] / "src")
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [source, kept.get("PYTHONPATH")]))
    return {**kept, **extra}


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command with its output in pipes."""
    return subprocess.run(
        [*VIZINHO, *arguments], cwd=cwd, env=environment(), capture_output=True, text=True
    )


def on_a_terminal(cwd: Path, *arguments: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Exit code and everything shown by one command on a pseudo-terminal."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*VIZINHO, *arguments],
        cwd=cwd,
        env=environment(PYTHONUTF8="1", **env),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def test_in_a_pipe_there_is_a_table_and_nothing_else(here: Path) -> None:
    done = run(here, "search", "pictures/red.png", "-k", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["#", "distance", "key"],
        ["1", "0.00", "red.png"],
        ["2", "1.00", "orange.png"],
    ]


def test_a_terminal_with_colours_shows_the_pictures_within_its_width(here: Path) -> None:
    code, shown = on_a_terminal(
        here, "search", "pictures/red.png", TERM="xterm-256color", COLORTERM="truecolor"
    )
    assert code == 0
    assert "\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m\u2580" in shown
    plain = ESCAPES.sub("", shown).splitlines()
    assert max(len(line.rstrip()) for line in plain) <= 80
    assert any(line.split() == ["1", "0.00", "red.png"] for line in plain)


def test_kitty_gets_a_picture_and_a_plain_terminal_none(here: Path) -> None:
    _, kitty = on_a_terminal(here, "search", "pictures/red.png", TERM="xterm-kitty")
    assert "\x1b_Ga=T,f=100" in kitty
    _, dumb = on_a_terminal(here, "search", "pictures/red.png", TERM="dumb")
    assert "\x1b_G" not in dumb
    assert "\u2580" not in dumb
    assert "red.png" in dumb


def test_indexing_on_a_terminal_shows_a_bar(here: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "many", 300)
    arguments = ("index", str(tmp_path / "many"), "--gallery", str(tmp_path / "many.vizinho"))
    code, shown = on_a_terminal(
        here, *arguments, "--model", "toy", TERM="xterm-256color", COLORTERM="truecolor"
    )
    assert code == 0, shown
    assert "Indexing" in shown
    assert "of 300" in shown
    assert "300 added in" in ESCAPES.sub("", shown)


def test_an_error_is_red_on_a_terminal_and_plain_in_a_pipe(here: Path) -> None:
    code, shown = on_a_terminal(here, "search", "gone.png", TERM="xterm-256color")
    assert code == 1
    assert "\x1b[1;31mError: " in shown
    done = run(here, "search", "gone.png")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    write_pictures(folder, 3)
    gallery = make_toy_gallery(tmp_path)
    process = subprocess.Popen(
        [*VIZINHO, "list", "--gallery", str(gallery)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=STARTUP_SECONDS)


@pytest.fixture
def server(here: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``vizinho serve`` on a free port, and the URL it printed."""
    process = subprocess.Popen(
        [*VIZINHO, "serve", "--port", "0"],
        cwd=here,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert url, line + process.stderr.read()
    yield process, url[0]
    if process.poll() is None:
        process.kill()
    process.stderr.close()
    process.wait()


def test_serve_prints_where_it_is_and_ends_in_order_on_ctrl_c(
    server: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = server
    with urllib.request.urlopen(f"{url}/health", timeout=STARTUP_SECONDS) as reply:
        assert json.load(reply)["status"] == "ok"
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait(timeout=STARTUP_SECONDS) == 0


def test_a_port_that_is_taken_is_told_with_a_way_out(here: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(here, "serve", "--port", str(port))
    assert done.returncode == 1
    assert f"{port}" in done.stderr
    assert "--port" in done.stderr


def test_ctrl_c_while_indexing_leaves_a_gallery_that_goes_on(here: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "many", 1500)
    gallery = tmp_path / "many.vizinho"
    arguments = ("index", str(tmp_path / "many"), "--gallery", str(gallery), "--model", "toy")
    process = subprocess.Popen(
        [*VIZINHO, *arguments], cwd=here, env=environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + STARTUP_SECONDS
    while not gallery.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=STARTUP_SECONDS)
    assert "Traceback" not in said
    done = run(here, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 1500


@pytest.mark.data
def test_the_shipped_model_finds_a_cifar_picture_in_itself(tmp_path: Path) -> None:
    dataset = real("cifar10:test").subset(range(200))
    pictures = tmp_path / "pictures"
    for index in range(len(dataset)):
        label = dataset.classes[dataset.labels[index]]
        (pictures / label).mkdir(parents=True, exist_ok=True)
        (pictures / label / Path(dataset.names[index]).name).write_bytes(dataset.read(index))
    done = run(tmp_path, "index", "pictures", "--labels", "--json")
    assert done.returncode == 0, done.stderr
    query = next((pictures / "cat").iterdir())
    done = run(tmp_path, "search", str(query), "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)[0]
    assert (first["key"], round(first["distance"], 2)) == (f"cat/{query.name}", 0.0)
    assert first["label"] == "cat"
