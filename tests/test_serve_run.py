"""Where the server listens."""

from __future__ import annotations

import pytest

from vizinho.errors import SettingsError
from vizinho.serve.run import address, listen


def test_a_port_that_is_taken_is_an_error_with_a_way_out() -> None:
    first = listen("127.0.0.1", 0)
    try:
        port = first.getsockname()[1]
        assert address(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(SettingsError, match=r"taken by another program.*--port"):
            listen("127.0.0.1", port)
    finally:
        first.close()
    with pytest.raises(SettingsError, match="No network address"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(SettingsError):
        listen("127.0.0.1", 99_999)
