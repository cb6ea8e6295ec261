"""Does an installed Vizinho work where nothing but its own dependencies is?

Run with the Python of the environment to look at: ``build/smoke/bin/python scripts/smoke.py``.
Makes a few pictures, then goes through the commands as a user would, with the packaged model.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import vizinho

COLOURS = ("red", "green", "blue", "gold", "purple")


def run(*arguments: str, cwd: Path) -> str:
    """Standard output of one ``vizinho`` command; what it says on failure goes to the screen."""
    command = [str(Path(sys.executable).with_name("vizinho")), *arguments]
    done = subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    """Raises AssertionError, or CalledProcessError, at the first thing that does not work."""
    from PIL import Image, ImageDraw

    repository = Path(__file__).resolve().parents[1]
    assert repository / "src" not in Path(vizinho.__file__).parents, "this is not the wheel"
    assert importlib.util.find_spec("torch") is None, "torch must not come with the search side"
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        pictures = here / "pictures"
        pictures.mkdir()
        for number, colour in enumerate(COLOURS):
            image = Image.new("RGB", (64, 64), colour)
            ImageDraw.Draw(image).ellipse((8, 8, 24 + 8 * number, 40), fill="white")
            image.save(pictures / f"{colour}.png")
        assert "search" in run("--help", cwd=here)
        indexed = json.loads(run("index", "pictures", "--json", cwd=here))
        assert indexed["added"] == len(COLOURS), indexed
        again = json.loads(run("index", "pictures", "--json", cwd=here))
        assert (again["added"], again["unchanged"]) == (0, len(COLOURS)), again
        matches = json.loads(run("search", "pictures/blue.png", "--json", cwd=here))
        assert len(matches) == len(COLOURS), matches
        assert matches[0]["key"].endswith("blue.png"), matches[0]
        assert round(matches[0]["distance"], 2) == 0, matches[0]
        health = json.loads(run("serve", "--get", "/health", cwd=here))
        assert health["status"] == "ok", health
        page = run("serve", "--get", "/", cwd=here)
        assert "<!doctype html>" in page.lower(), page[:200]
    sys.stdout.write(f"vizinho {Path(vizinho.__file__).parent}: works\n")


if __name__ == "__main__":
    main()
