"""Amplify's customHeaders: which headers a file is served with.

A stand-in, after https://docs.aws.amazon.com/amplify/latest/userguide/custom-header-YAML-format.html:
``*`` is anything but a slash, ``**`` anything; of two rules for one header the later counts.
"""

from __future__ import annotations

import re

import yaml


def headers_for(rules: str, path: str) -> list[tuple[str, str]]:
    """The headers for a file of that path (no slash in front)."""
    found: dict[str, tuple[str, str]] = {}
    for rule in (yaml.safe_load(rules) or {}).get("customHeaders", []) if rules else []:
        if _pattern(rule["pattern"]).fullmatch(f"/{path}"):
            for header in rule["headers"]:
                found[header["key"].lower()] = (header["key"], str(header["value"]))
    return list(found.values())


def _pattern(pattern: str) -> re.Pattern[str]:
    text = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
    if text == "/":
        text = "/index.html"
    parts = re.split(r"(\*\*/|\*\*|\*)", text)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    body = "".join(known.get(part, re.escape(part)) for part in parts)
    return re.compile(body if text.startswith("/") else f"/?{body}")
