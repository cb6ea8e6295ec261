"""Where a gallery is: a folder's path, or an address in a server that stands for one.

Addresses travel as paths, so that nothing between the command line and the gallery has to tell the
two apart. What such a path shows of itself leaves out passwords and tokens.
"""

from __future__ import annotations

import re
from pathlib import Path, PosixPath

SCHEMES = ("milvus", "milvuss")
_PLACE = re.compile(r"(\[[^]/]*\]|[^:/]*)(:\d*)?(/.*)?")


class AddressPath(PosixPath):
    """An address where a path is expected; ``address`` is the whole of it."""

    address: str = ""

    def __str__(self) -> str:
        return shown(self.address) if self.address else super().__str__()

    def __fspath__(self) -> str:
        return str(self)


def is_address(place: str | Path) -> bool:
    """Whether ``place`` is an address and no folder. A path made of one has lost a slash."""
    return str(place).startswith(tuple(f"{scheme}:/" for scheme in SCHEMES))


def address_of(place: str | Path) -> str:
    """The whole address, of whatever kind ``place`` is."""
    text = place.address if isinstance(place, AddressPath) else str(place)
    return re.sub(r"^(\w+):/+", r"\1://", text)


def as_place(place: str | Path) -> Path:
    """``place`` as a path; an address as one that shows itself well."""
    if not is_address(place):
        return Path(place)
    made = AddressPath(shown(address_of(place)))
    made.address = address_of(place)
    return made


def shown(address: str) -> str:
    """An address without what is secret in it, and without what only says how to search.

    However wrong it is: in a password that should have been escaped, / ? # may stand.
    """
    scheme, slashes, rest = address.partition("://")
    place = re.split("[?#]", rest)[0]
    if "@" in place or not _PLACE.fullmatch(place):
        place = re.split("[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme}{slashes}{place}"
