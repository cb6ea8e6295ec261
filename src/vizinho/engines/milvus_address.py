"""Where a gallery is in a Milvus: ``milvus://user:password@host:19530/cars?secure=true``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from vizinho.errors import SettingsError
from vizinho.place import SCHEMES, address_of, shown

Consistency = Literal["session", "strong", "bounded", "eventually"]
Index = Literal["auto", "flat", "ivf_flat", "hnsw"]

_PORT = 19530
# Milvus wants letters, digits and underscores, 255 at most; ours get a suffix.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,239}")
_HINT = "It should look like milvus://HOST:19530/NAME."
_ESCAPES = "In a password / ? # @ are written %2F %3F %23 %40."


@dataclass(frozen=True)
class MilvusAddress:
    """One gallery in one Milvus.

    ``token`` is ``user:password`` or an API key, empty without; ``index`` and ``consistency`` are
    how it is searched by this client (see docs/distributed.md), ``replicas`` and ``shards`` how it
    is spread when it is made.
    """

    host: str
    port: int
    name: str
    token: str = ""
    secure: bool = False
    database: str = ""
    consistency: Consistency = "session"
    index: Index = "auto"
    shards: int = 1
    replicas: int = 1

    def __str__(self) -> str:
        """The address as it may be shown: without what is secret in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        database = f"?database={quote(self.database)}" if self.database else ""
        scheme = SCHEMES[self.secure]
        return f"{scheme}://{host}:{self.port}/{self.name}{database}"

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def parse_milvus(place: str | Path, token: str = "") -> MilvusAddress:
    """The address in ``place``; ``token`` is used where it has none. Raises SettingsError."""
    text = address_of(place)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        if "@" in text:  # the error may name a part of the password
            raise _wrong(text, "its host can't be told", _ESCAPES) from None
        raise _wrong(text, str(error)) from error
    if parts.scheme not in SCHEMES or not host:
        raise _wrong(text, "there is no host in it")
    name = unquote(parts.path).strip("/")
    if not _NAME.fullmatch(name):
        raise _wrong(text, f"the gallery's name is {name!r}", "A name has letters, digits and _.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    user = unquote(parts.username or "")
    given = options.pop("token", f"{user}:{unquote(parts.password or '')}" if user else "")
    secure = parts.scheme == "milvuss"
    if "secure" in options:
        secure = _flag(text, options.pop("secure")) or secure
    consistency = options.pop("consistency", "session").lower()
    index = options.pop("index", "auto").lower()
    if consistency not in get_args(Consistency):
        raise _wrong(text, f"consistency is {consistency!r}", _one_of(get_args(Consistency)))
    if index not in get_args(Index):
        raise _wrong(text, f"index is {index!r}", _one_of(get_args(Index)))
    address = MilvusAddress(
        host=host,
        port=port or _PORT,
        name=name,
        token=given or token,
        secure=secure,
        database=options.pop("database", ""),
        consistency=consistency,  # type: ignore[arg-type]  # just compared with every member
        index=index,  # type: ignore[arg-type]
        shards=_number(text, options, "shards", 16),
        replicas=_number(text, options, "replicas", 64),
    )
    if options:
        known = "token, secure, database, consistency, index, shards and replicas"
        raise _wrong(text, f"it asks for {', '.join(sorted(options))}", f"There is {known}.")
    return address


def _wrong(text: str, reason: str, hint: str = _HINT) -> SettingsError:
    return SettingsError(f"{shown(text)} is no address of a gallery: {reason}.", hint)


def _one_of(names: tuple[str, ...]) -> str:
    return f"It can be one of: {', '.join(names)}."


def _flag(text: str, value: str) -> bool:
    if value.lower() not in ("true", "1", "yes", "false", "0", "no"):
        raise _wrong(text, f"secure is {value!r}", "It can be true or false.")
    return value.lower() in ("true", "1", "yes")


def _number(text: str, options: dict[str, str], name: str, most: int) -> int:
    value = options.pop(name, "1")
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise _wrong(text, f"{name} is {value!r}", f"It should be a number from 1 to {most}.")
    return int(value)
