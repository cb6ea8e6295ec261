"""Text that is sent packed to who can unpack it."""

from __future__ import annotations

import gzip

from starlette.datastructures import Headers


def takes_gzip(headers: Headers) -> bool:
    """Whether the client unpacks gzip (RFC 9110, section 12.5.3)."""
    for each in headers.get("accept-encoding", "").split(","):
        name, _, rest = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return rest.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def packed(data: bytes) -> bytes:
    """``data`` under gzip, the same bytes each time."""
    return gzip.compress(data, 9, mtime=0)
