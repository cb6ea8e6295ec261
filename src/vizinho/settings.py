"""What the environment may decide, read in one place.

Every variable is optional, and an option on the command line always wins over it:

``VIZINHO_DATA``      folder of the data sets (default: ``datasets`` in the cache folder)
``VIZINHO_CACHE``     folder for downloads (default: the system's cache folder)
``VIZINHO_GALLERY``   gallery to search, serve or change when none is named; ``index`` names a new
                      one after its source
``VIZINHO_MODEL``     model used for new galleries when none is named
``VIZINHO_HOST``      address the server listens on (default 127.0.0.1)
``VIZINHO_PORT``      port the server listens on (default 8000)
``VIZINHO_MILVUS_TOKEN``  ``user:password`` or a key, for galleries in a Milvus that asks for one
``VIZINHO_PICTURES``  how a terminal shows pictures: auto, kitty, iterm, blocks or none
``VIZINHO_GLIBC``     the C library where a function will run, as 2.36, where that is not AWS but a
                      stand-in for it (default: that of Lambda's own machines)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from vizinho.errors import SettingsError
from vizinho.place import as_place, is_address

Pictures = Literal["auto", "kitty", "iterm", "blocks", "none"]
GALLERY_SUFFIX = ".vizinho"


@dataclass(frozen=True)
class Settings:
    """The environment's answers; ``None`` where it has nothing to say."""

    data_dir: Path
    cache_dir: Path
    gallery: Path | None = None
    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    pictures: Pictures = "auto"
    milvus_token: str = ""
    function_glibc: int | None = None


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the environment (``os.environ`` unless given).

    Raises SettingsError naming the variable whose value makes no sense. An empty variable
    counts as absent.
    """
    env = {name: value for name, value in _environ(environ).items() if value}
    cache = Path(env["VIZINHO_CACHE"]).expanduser() if "VIZINHO_CACHE" in env else _cache_dir(env)
    data = Path(env["VIZINHO_DATA"]).expanduser() if "VIZINHO_DATA" in env else cache / "datasets"
    gallery = env.get("VIZINHO_GALLERY")
    return Settings(
        data_dir=data,
        cache_dir=cache,
        gallery=as_place(gallery).expanduser() if gallery else None,
        model=env.get("VIZINHO_MODEL"),
        host=env.get("VIZINHO_HOST", "127.0.0.1"),
        port=_port(env.get("VIZINHO_PORT", "8000")),
        pictures=parse_pictures(env.get("VIZINHO_PICTURES", "auto"), "VIZINHO_PICTURES"),
        milvus_token=env.get("VIZINHO_MILVUS_TOKEN", ""),
        function_glibc=_glibc(env.get("VIZINHO_GLIBC")),
    )


def default_data_dir() -> Path:
    """Folder where data sets are looked for and downloaded to."""
    return load().data_dir


def find_gallery(named: Path | None, folder: Path | None = None) -> Path:
    """The gallery meant: the one named, else ``VIZINHO_GALLERY``, else the only one in ``folder``.

    ``folder`` is the working directory unless given. Raises SettingsError when there is no
    gallery there, or more than one, and says which. A path that is named is not checked: opening
    it says what is wrong with it.
    """
    chosen = named or load().gallery
    if chosen is not None:
        return as_place(chosen)
    folder = folder or Path.cwd()
    found = sorted(p for p in folder.glob(f"*{GALLERY_SUFFIX}") if p.is_dir())
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError(
            f"No gallery in {folder}.",
            "Make one with `vizinho index FOLDER`, or name one with --gallery or VIZINHO_GALLERY.",
        )
    raise SettingsError(
        f"{len(found)} galleries in {folder}: {', '.join(p.name for p in found)}.",
        "Say which with --gallery or VIZINHO_GALLERY.",
    )


def parse_pictures(value: str, source: str) -> Pictures:
    """One of the ways to show pictures; raises SettingsError that names ``source``."""
    for name in get_args(Pictures):
        if value == name:
            return value  # type: ignore[return-value]  # just compared with every member
    raise SettingsError(f"{source} is {value!r}.", f"It can be: {', '.join(get_args(Pictures))}.")


def terminal_pictures(environ: Mapping[str, str] | None = None) -> Pictures:
    """The best way this terminal can show pictures, judged by what it says of itself.

    Kitty's graphics protocol (kitty, Ghostty), iTerm2's inline images (iTerm2, WezTerm), or
    half-block characters where the terminal has 24-bit colour; ``none`` elsewhere. Inside tmux
    and screen neither picture protocol comes through, so blocks are the most.
    """
    env = _environ(environ)
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "")
    if not (env.get("TMUX") or term.startswith("screen") or term.startswith("tmux")):
        if env.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in (program, term):
            return "kitty"
        if program in ("iTerm.app", "WezTerm") or env.get("LC_TERMINAL") == "iTerm2":
            return "iterm"
    if env.get("COLORTERM") in ("truecolor", "24bit") and "NO_COLOR" not in env:
        return "blocks"
    return "none"


@contextmanager
def product_threads(count: int) -> Iterator[None]:
    """A process started in here takes ``count`` threads for its matrix products.

    The libraries that make them read the environment once, as they are loaded: too early for the
    process to tell them itself. The environment is afterwards as it was.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


Links = Literal["private", "public"]
# Lambda takes events of 6 MB (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html),
# and a picture travels in them as base64, a third larger than itself.
FUNCTION_UPLOAD_BYTES = 4_500_000
_WEEK = 7 * 86_400


@dataclass(frozen=True, kw_only=True)
class FunctionSettings:
    """What a function on AWS was told.

    Attributes:
        gallery: folder of the gallery, or where in S3 it is: ``s3://BUCKET/PREFIX``.
        links: whether a picture's link is signed ("private") or plain ("public").
        link_seconds: how long a signed link is good for, at most a week.
        cors_origins: origins that browsers may call from; ``("*",)`` for any, ``()`` for none.
        max_upload_bytes: largest picture accepted.
        region: of the bucket and the function.
        endpoint: S3's address where it is not AWS's own, or None.
    """

    gallery: str
    links: Links = "private"
    link_seconds: int = 3600
    cors_origins: tuple[str, ...] = ()
    max_upload_bytes: int = FUNCTION_UPLOAD_BYTES
    region: str = "us-east-1"
    endpoint: str | None = None


def load_function(environ: Mapping[str, str] | None = None) -> FunctionSettings:
    """What the environment tells a function on AWS (``os.environ`` unless given).

    ``VIZINHO_GALLERY`` (``gallery.vizinho``; a path is relative to the function's code),
    ``VIZINHO_LINKS`` (``private`` or ``public``), ``VIZINHO_LINK_SECONDS``, ``VIZINHO_CORS``
    (origins with commas between, or ``*``), ``VIZINHO_MAX_UPLOAD_BYTES``, ``AWS_REGION``,
    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``.

    Raises SettingsError naming the variable whose value makes no sense.
    """
    env = {name: value for name, value in _environ(environ).items() if value}
    gallery = env.get("VIZINHO_GALLERY", f"gallery{GALLERY_SUFFIX}")
    if not gallery.startswith("s3://") and not is_address(gallery):
        gallery = str(Path(env.get("LAMBDA_TASK_ROOT", ""), gallery))
    links = env.get("VIZINHO_LINKS", "private")
    if links not in get_args(Links):
        raise SettingsError(f"VIZINHO_LINKS is {links!r}.", "It can be private or public.")
    origins = (origin.strip() for origin in env.get("VIZINHO_CORS", "").split(","))
    return FunctionSettings(
        gallery=gallery,
        links=links,  # type: ignore[arg-type]  # just compared with every member
        link_seconds=_number(env, "VIZINHO_LINK_SECONDS", 3600, 1, _WEEK),
        cors_origins=tuple(origin.rstrip("/") for origin in origins if origin),
        max_upload_bytes=_number(
            env, "VIZINHO_MAX_UPLOAD_BYTES", FUNCTION_UPLOAD_BYTES, 1, FUNCTION_UPLOAD_BYTES
        ),
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        endpoint=env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"),
    )


class S3Settings(NamedTuple):
    """Where buckets are: ``region`` if one is named, ``endpoint`` where S3 is not AWS's own."""

    region: str | None
    endpoint: str | None


def load_s3(environ: Mapping[str, str] | None = None) -> S3Settings:
    """AWS's own variables: ``AWS_REGION`` or ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL_S3`` or
    ``AWS_ENDPOINT_URL``."""
    env = _environ(environ)
    return S3Settings(
        env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None,
        env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None,
    )


def quiet_ray() -> None:
    """Ray reports nothing home from this process and those it starts."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@dataclass(frozen=True)
class FunctionKeys:
    """How a function on AWS shows who it is: keys, or the address that hands them out."""

    access_key: str | None
    secret_key: str | None
    token: str | None
    source: str | None
    source_token: str | None


def function_keys(environ: Mapping[str, str] | None = None) -> FunctionKeys:
    """The keys as they are now. A function restored by SnapStart is given an address instead."""
    env = _environ(environ)
    return FunctionKeys(
        env.get("AWS_ACCESS_KEY_ID"),
        env.get("AWS_SECRET_ACCESS_KEY"),
        env.get("AWS_SESSION_TOKEN"),
        env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    )


def _environ(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _cache_dir(env: Mapping[str, str]) -> Path:
    if "XDG_CACHE_HOME" in env:
        base = Path(env["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(env.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path.home() / ".cache"
    return base / "vizinho"


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise SettingsError(f"VIZINHO_PORT is {text!r}.", "It should be a number up to 65535.")
    return port


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        hint = f"It should be a whole number from {least} to {most}."
        raise SettingsError(f"{name} is {text!r}.", hint)
    return number


def _glibc(text: str | None) -> int | None:
    if text is None:
        return None
    major, _, minor = text.partition(".")
    if major != "2" or not minor.isdecimal():
        raise SettingsError(f"VIZINHO_GLIBC is {text!r}.", "It should be a version, as 2.36.")
    return int(minor)
