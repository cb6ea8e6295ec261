"""Does the package work here? Run inside it: ``python -m vizinho.aws.package_smoke``.

The handler answers 503 rather than fail when it can't start, so importing it shows too little: all
that came along is imported, and a gallery beside it is searched.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

LIBRARIES = ("botocore.session", "onnxruntime", "PIL.Image", "python_multipart")
GALLERY = "gallery.vizinho"
_HEALTH = {
    "version": "2.0",
    "rawPath": "/health",
    "rawQueryString": "",
    "headers": {},
    "requestContext": {"http": {"method": "GET", "path": "/health"}, "stage": "$default"},
    "isBase64Encoded": False,
}


def main() -> None:
    """Leaves with the reason when something is missing. ``VIZINHO_GALLERY`` names the gallery."""
    for name in LIBRARIES:
        import_module(name)
    for module in pkgutil.walk_packages(import_module("vizinho").__path__, "vizinho."):
        import_module(module.name)
    if Path(GALLERY).is_dir():
        answer = import_module("vizinho.aws.handler").handler(_HEALTH, None)
        if answer["statusCode"] != 200:
            raise SystemExit(f"The function doesn't start: {answer['body']}")


if __name__ == "__main__":
    main()
