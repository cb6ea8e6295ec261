"""The map of the modules, checked: what may import what, and what stays out of where.

Every import statement counts, also one inside a function or under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from toy_gallery import make_toy_gallery

SOURCE = Path(__file__).resolve().parents[1] / "src" / "vizinho"
LONGEST = 300

# Rooms from the top down. A room may import rooms of lower rows, never one beside or above it.
ROWS: tuple[tuple[frozenset[str], ...], ...] = (
    (frozenset({"__main__", "__init__"}),),
    (frozenset({"cli"}),),
    (frozenset({"serve"}), frozenset({"train"}), frozenset({"aws"}), frozenset({"cluster"})),
    (frozenset({"contract"}),),
    (frozenset({"gallery"}),),
    (frozenset({"report"}),),
    (frozenset({"evaluate"}), frozenset({"calibrate"}), frozenset({"projection"})),
    (frozenset({"sources"}),),
    (
        frozenset({"embedder", "bundle", "explain"}),
        frozenset({"engines"}),
        frozenset({"blobs"}),
        frozenset({"datasets"}),
    ),
    (frozenset({"preprocess"}), frozenset({"perceptual"})),
    (frozenset({"images"}),),
    (frozenset({"settings"}),),
    (frozenset({"errors"}), frozenset({"progress"}), frozenset({"place"})),
)
# Reached by every command, so torch and boto3 must not come with them.
LIGHT = ("torch", "boto3")
# Import name to distribution where they differ; starlette and pydantic are FastAPI's own ground.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "botocore": "boto3",
    "faiss": "faiss-cpu",
    "prometheus_client": "prometheus-client",
    "pydantic": "fastapi",
    "python_multipart": "python-multipart",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
}
MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(module: str) -> str:
    """``vizinho.serve.app`` is in room ``serve``; ``vizinho`` itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def place(room: str) -> tuple[int, frozenset[str]] | None:
    """Row number (0 is the top) and the set of names that count as one room, if on the map."""
    for row, rooms in enumerate(ROWS):
        for names in rooms:
            if room in names:
                return row, names
    return None


def imports(tree: ast.AST, package: str) -> set[str]:
    """Full names of all modules that a syntax tree imports; ``package`` resolves relative ones."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                kept = parts[: len(parts) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            found.add(base)
            if base == "vizinho":
                # `from vizinho import gallery` imports a module as `import vizinho.gallery` does;
                # the version is a constant that anyone may read.
                found.discard(base)
                names = {alias.name for alias in node.names} - {"__version__"}
                found.update(f"vizinho.{name}" for name in names)
    return found


def forbidden(room: str, imported: set[str]) -> list[str]:
    """What is wrong with a room importing these modules, one sentence each."""
    here = place(room)
    if here is None:
        return [f"{room} is not on the map: add it to ROWS, and to docs/architecture.md"]
    wrong = []
    for module in sorted(imported):
        if module == "torch" or module.startswith(("torch.", "torchvision")):
            if room != "train":
                wrong.append(f"{room} imports {module}; only train may")
            continue
        if module.split(".")[0] != "vizinho":
            continue
        there = place(room_of(module))
        if there is None:
            wrong.append(f"{room} imports {module}, which is not on the map")
        elif there[0] <= here[0] and there[1] != here[1]:
            wrong.append(f"{room} imports {module}, which is not below it")
    return wrong


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    assert forbidden(room_of(name), imports(ast.parse(path.read_text()), package)) == []


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("gallery", "from vizinho.cli import console"),
        ("serve", "def f():\n    import vizinho.train.loop"),
        ("blobs", "from vizinho.engines.protocol import Row"),
        ("images", "from vizinho import preprocess"),
        ("gallery", "import torch.nn"),
        ("gallery", "import vizinho.stray"),
        ("stray", "import json"),
        ("errors", "from .gallery import Gallery"),
    ],
)
def test_a_wrong_import_is_seen(room: str, statement: str) -> None:
    assert forbidden(room, imports(ast.parse(statement), "vizinho"))


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for path in MODULES:
        name = module_name(path)
        imported = {m.split(".")[0] for m in imports(ast.parse(path.read_text()), name)}
        foreign = imported - sys.stdlib_module_names - {"vizinho"}
        of_room = {
            "train": extras["train"] + extras["losses"],
            "projection": extras["report"],
            "aws": extras["aws"],
            "cluster": extras["ray"],
            "engines": extras["milvus"],
        }
        allowed = project["dependencies"] + of_room.get(room_of(name), [])
        declared = {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in allowed}
        assert {DISTRIBUTIONS.get(m, m) for m in foreign} <= declared, name


def test_only_settings_reads_the_environment() -> None:
    readers = [
        str(path.relative_to(SOURCE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    ]
    assert set(readers) == {"settings.py"}


@pytest.mark.parametrize("folder", ["src", "tests", "scripts", "benchmarks"])
def test_no_file_is_longer_than_a_person_reads(folder: str) -> None:
    files = [
        path
        for suffix in ("*.py", "*.js", "*.css", "*.html")
        for path in (SOURCE.parents[1] / folder).rglob(suffix)
    ]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


@pytest.mark.parametrize(
    "statements",
    [
        "import vizinho; vizinho.Gallery",
        "from typer.testing import CliRunner; from vizinho.cli import build_app; "
        "assert CliRunner().invoke(build_app(), ['--help']).exit_code == 0",
        "from typer.testing import CliRunner; from vizinho.cli import build_app; "
        "done = CliRunner().invoke(build_app(), ['search', {picture!r}, '-g', {gallery!r}]); "
        "assert done.exit_code == 0, done.output",
        "from pathlib import Path; from vizinho.serve.app import create_app; "
        "create_app(Path({gallery!r}))",
    ],
    ids=["import", "help", "search", "serve"],
)
def test_what_everybody_runs_stays_light(statements: str, tmp_path: Path) -> None:
    gallery = make_toy_gallery(tmp_path)
    picture = str(tmp_path / "pictures" / "red.png")
    code = statements.format(gallery=str(gallery), picture=picture)
    code += f"\nimport sys; print(sorted(set(sys.modules) & set({LIGHT!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr


def test_help_loads_nothing_heavy() -> None:
    heavy = {"numpy", "PIL", "onnxruntime", "faiss", "pyarrow", "matplotlib", "fastapi", "torch"}
    code = (
        "import sys; from vizinho.cli import build_app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(build_app(), ['--help']).exit_code == 0; "
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
