"""The page as Amplify takes it: a zip of its files, and the headers they are served with.

The page and its API have two addresses there, and the pictures a third. So the page is told where
the API is, and its content security policy lets it ask that place and show pictures of those, and
nothing else in the world.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from urllib.parse import urlsplit

# The documentation needs `vizinho serve`: Swagger UI is no part of a deployment.
_LEFT_OUT = ("docs.html", "docs.js")
_META = '<meta name="vizinho-api" content="">'
_EPOCH = (1980, 1, 1, 0, 0, 0)
_YEAR = 31_536_000


def build_page(api_url: str, picture_origins: Sequence[str]) -> bytes:
    """The page's files as a zip, made for one API. Equal arguments give equal bytes.

    Styles and scripts lie in a folder named by their content, so that browsers may keep them for
    good and still never mix two versions.

    Args:
        api_url: where the API answers, with the path of its stage if it has one; ``""`` is where
            the page itself is.
        picture_origins: where pictures come from; checked here, named in :func:`page_headers`.

    Raises:
        ValueError: an address that is none, or with more than its parts allow.
    """
    page_headers(api_url, picture_origins)
    parts = {
        each.name: each.read_bytes()
        for each in files("vizinho").joinpath("page").iterdir()
        if each.name not in _LEFT_OUT and not each.name.startswith((".", "__"))
    }
    index = parts.pop("index.html").decode()
    digest = hashlib.sha256()
    for name, data in sorted(parts.items()):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    folder = f"static/{digest.hexdigest()[:12]}"
    told = f'<meta name="vizinho-api" content="{html.escape(api_url, quote=True)}">'
    if index.count(_META) != 1:
        raise ValueError("the page has no place for the API's address")
    index = index.replace(_META, told).replace('="static/', f'="{folder}/')
    entries = {"index.html": index.encode()}
    entries |= {f"{folder}/{name}": data for name, data in parts.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def page_headers(api_url: str, picture_origins: Sequence[str]) -> str:
    """Amplify's ``customHeaders`` for the page, as YAML.

    Args:
        api_url: as for :func:`build_page`; it may answer for pictures too, by sending the browser
            on to one of the picture origins.
        picture_origins: scheme, host and port of where pictures come from.

    Raises:
        ValueError: an address that is none.
    """
    api = _origin(api_url) if api_url else "'self'"
    pictures = sorted({api, *(_origin(each) for each in picture_origins)} - {"'self'"})
    policy = "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self' blob: data:", *pictures]),
            f"connect-src {api}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    everywhere = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
        "Strict-Transport-Security": f"max-age={_YEAR}",
    }
    forever = {"Cache-Control": f"public, max-age={_YEAR}, immutable"}
    # No header is named by two patterns that one file matches: what wins then isn't documented.
    rules = [("**", everywhere), *((f"**/*.{end}", forever) for end in ("css", "js", "svg"))]
    rules += [(pattern, {"Cache-Control": "no-cache"}) for pattern in ("/", "/index.html")]
    lines = ["customHeaders:"]
    for pattern, headers in rules:
        # Strings of JSON are strings of YAML, quotes and all.
        lines += [f"  - pattern: {json.dumps(pattern)}", "    headers:"]
        for key, value in headers.items():
            lines += [f"      - key: {json.dumps(key)}", f"        value: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def _origin(address: str) -> str:
    """Scheme, host and port of an address, fit to stand in a policy."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as problem:
        raise ValueError(f"{address!r} is no address of a web server") from problem
    host = (parts.hostname or "").removesuffix(".")
    plain = host.replace("-", "").replace(".", "").replace("_", "")
    if parts.scheme not in ("http", "https") or not (plain.isascii() and plain.isalnum()):
        raise ValueError(f"{address!r} is no address of a web server")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{address!r} has more than a scheme, a host and a path")
    return f"{parts.scheme}://{host}{port}"
