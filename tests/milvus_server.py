"""A real Milvus server on this machine: the one in the PyPI wheel ``milvus==2.3.5``.

One process with everything a cluster spreads over many (standalone), its data in one folder. Every
port it opens is a free one. Its etcd listens on this machine alone; the other ports of that version
listen on every address and can't be told otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from vizinho.engines import milvus_link
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import parse_milvus

_PATIENCE_SECONDS = 300.0
_HERE = "127.0.0.1"
# What makes an idle server cheaper on a small machine, and a test of a thousand writes shorter: a
# read that must see the last write waits for the next tick.
_SETTINGS = {
    "proxy.timeTickInterval": "20",
    "log.level": "warn",
    "log.stdout": "false",
    "proxy.http.enabled": "false",
    "queryCoord.checkInterval": "200",
    "queryCoord.distPullInterval": "200",
    "dataCoord.enableGarbageCollection": "false",
}


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A running server, one for all tests; they keep apart by the names of their collections."""
    server = MilvusServer(tmp_path_factory.mktemp("milvus"))
    # A machine that runs tests beside it may let the server wait longer than a user would.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(milvus_link, "READING_SECONDS", 90.0)
        patch.setattr(milvus_link, "_FIRST_SECONDS", 90.0)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def open_emptied(server: MilvusServer, dimension: int) -> Callable[[], MilvusEngine]:
    """Opens one collection, made once for all tests: making one takes seconds. Empty at first."""
    address = parse_milvus(f"{server.uri}/engine_of_{dimension}")
    if address.name not in server.made:
        MilvusEngine.create(address, dimension).close()
        server.made.add(address.name)
    engine = MilvusEngine.open(address)
    while rows := engine.walk():
        engine.remove([row.key for row in rows])
    engine.close()
    return lambda: MilvusEngine.open(address)


class MilvusServer:
    """``start``, ``kill`` and ``start`` again keep port and data; ``stop`` is for good."""

    def __init__(self, data: Path, **settings: str) -> None:
        from milvus import MilvusServerConfig

        self.data = data
        self._settings = _SETTINGS | settings
        self._config = MilvusServerConfig(data_dir=str(data))
        names = [name for name in self._config.configurable_items if name.endswith("_port")]
        self.port, self._health, self._etcd, peer, *others = _free_ports(len(names) + 4)
        ports = dict(zip(names, others, strict=True))
        self._config.update(**(ports | {"proxy_port": self.port, "etcd_port": self._etcd}))
        self._etcd_urls = [f"http://{_HERE}:{port}" for port in (self._etcd, peer)]
        self._process: subprocess.Popen[bytes] | None = None
        self._written = False
        self.made: set[str] = set()

    @property
    def uri(self) -> str:
        """The server's part of a gallery's URI."""
        return f"milvus://{_HERE}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Run the server, and return when it answers."""
        if not self._written:
            for name, value in self._settings.items():
                self._config.set(name, value)
            self._config.resolve()
            self._write_etcd()
            self._written = True
        programs = _unpacked()
        binary = programs / "milvus"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.data / "run"),
            "LD_LIBRARY_PATH": str(programs),
            "DYLD_LIBRARY_PATH": str(programs),
            # A server of the tests has two cores at most, whatever the machine has.
            "GOMAXPROCS": "2",
        }
        with (self.data / "logs" / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(binary), "run", "standalone"],
                cwd=self.data,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _write_etcd(self) -> None:
        """The embedded etcd has the ports 2379 and 2380 of every address, unless a file says else.

        Two servers on one machine would then be one.
        """
        client, peer = self._etcd_urls
        here = self.data / "configs" / "etcd.yaml"
        values = {
            "name": "default",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "data-dir": self.data / "data" / "etcd.data",
            "log-level": "error",
        }
        here.write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
        main = here.with_name("milvus.yaml")
        text = main.read_text().replace("etcd:\n", f"etcd:\n  config:\n    path: {here}\n", 1)
        # Left empty, its parts look for each other at the network's address, if there is one.
        text = re.sub(r"^( +ip:).*$", rf"\1 {_HERE}", text, flags=re.MULTILINE)
        main.write_text(text)

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"Milvus ended with {self._process.returncode}: {self._told()}")
            try:
                address = f"http://{_HERE}:{self._health}/healthz"
                with urllib.request.urlopen(address, timeout=10) as answer:
                    if b"OK" in answer.read():
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise RuntimeError(f"Milvus did not answer in {_PATIENCE_SECONDS:.0f} s: {self._told()}")

    def _told(self) -> str:
        return (self.data / "logs" / "output.log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """What a power cut does; `start` brings it back with its data."""
        process, self._process = self._process, None
        if process is not None:
            # Its own session: the children it may have go with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    stop = kill


def _unpacked() -> Path:
    """The server's programs: 250 MB out of the wheel's 56, once a machine."""
    import milvus

    folder = Path(tempfile.gettempdir()) / f"vizinho-milvus-{milvus.__version__}-{os.getuid()}"
    if not (folder / "bin" / "milvus").is_file():
        fresh = Path(tempfile.mkdtemp(prefix="vizinho-milvus-"))
        milvus._initialize_data_files(str(fresh))
        try:
            fresh.rename(folder)
        except OSError:  # another test run was faster
            shutil.rmtree(fresh)
    return folder / "bin"


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, all different; held until all are known."""
    held = [socket.create_server((_HERE, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
