"""Two writers and four readers at one gallery: no wrong answer.

A few seconds here; ``benchmarks/stress.py`` runs the same for as long as wanted. A second process
that wants to write waits, and is told who writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stressing import SOURCES, fill, stress
from toys import encode, make_toy_bundle, noise, write_pictures
from vizinho.gallery import Gallery

SECONDS = float(os.environ.get("VIZINHO_STRESS_SECONDS", "4"))
HOLD = """
import sys, threading
from pathlib import Path
from vizinho.gallery import layout
sys.argv[:2] = ["vizinho", "index"]
with layout.writing(Path(sys.argv[2]), threading.Lock()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "many.vizinho"
    with Gallery.create(path, model=make_toy_bundle(tmp_path)) as gallery:
        fill(gallery)
    return path


def test_two_writers_and_four_readers_give_no_wrong_answer(path: Path) -> None:
    done = stress(path, SECONDS)
    print(done)
    assert min(done[what] for what in ("added", "labelled", "removed", "searches", "pages")) > 0


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that is writing to the gallery until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, "", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_waits_and_then_writes(path: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "new", 3)
    with hold(path) as holder:
        command = [sys.executable, "-m", "vizinho", "add", str(tmp_path / "new"), "-g", str(path)]
        second = subprocess.Popen(
            [*command, "--wait", "600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        said = ""
        while "waiting for it." not in " ".join(said.split()):
            line = second.stderr.readline()
            assert line, said
            said += line
        assert f"(pid {holder.pid}, vizinho index); waiting for it." in " ".join(said.split())
        assert second.poll() is None
        with Gallery.open(path) as gallery:
            before = gallery.count
        holder.communicate()
        printed, errors = second.communicate()
        assert second.returncode == 0, said + errors
        assert "3 added" in printed
    with Gallery.open(path) as gallery:
        assert gallery.count == before + 3


def test_a_second_writer_that_does_not_wait_long_is_told_who_writes(path: Path) -> None:
    picture = path.parent / "one.png"
    picture.write_bytes(encode(noise(1)))
    with hold(path) as holder:
        for verb in (["add", str(picture)], ["remove", "stay/*"], ["label", "**", "--clear"]):
            command = [sys.executable, "-m", "vizinho", *verb, "-g", str(path), "--wait", "0.2"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (1, "")
            told = " ".join(done.stderr.split())
            assert f"written by another process (pid {holder.pid}, vizinho index)" in told
            assert "also after 0.2 s" in told
        assert holder.poll() is None
        holder.kill()
    with Gallery.open(path) as gallery:
        assert gallery.count == gallery.remove([row.key for row in gallery.walk()])
