"""What of Vizinho and of the libraries goes into the function's package, and what stays out.

A function starts as fast as its package is small: what is not imported is not sent, not unpacked
and not read. Of Vizinho that is what the handler imports, found by reading the import statements;
of the libraries it is what the rules below leave.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

HANDLER = "vizinho.aws.handler"
SMOKE = "vizinho.aws.package_smoke"
SOURCES = Path(__file__).resolve().parents[2]

# Installed without what they declare: ONNX Runtime runs a model without flatbuffers, protobuf,
# packaging and sympy, and FAISS (100 MB) gives way to NumPy over a packed gallery. Lambda has a
# botocore of its own, of whatever version; ours is 2 MB zipped without the services not called.
LIBRARIES = (
    *("numpy", "onnxruntime", "pillow", "python-multipart"),
    *("botocore", "jmespath", "python-dateutil", "six", "urllib3"),
)
# What a container image needs besides: on AWS's own base image it is there, on a smaller one not.
RUNTIME = ("awslambdaric==4.2.2", "simplejson==4.3.0", "snapshot-restore-py==1.0.0")

_FOLDERS = {"tests", "__pycache__", "bin"}
_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".c", ".a", ".lib", ".ini", ".cmake", ".pc"}
_LEFT_OUT = (
    "multipart/",
    "numpy/_core/_multiarray_tests",
    "numpy/_core/_operand_flag_tests",
    "numpy/_core/_rational_tests",
    "numpy/_core/_simd",
    "numpy/_core/_struct_ufunc_tests",
    "numpy/_core/_umath_tests",
    "numpy/_core/include/",
    "numpy/_pyinstaller/",
    "numpy/distutils/",
    "numpy/f2py/",
    "numpy/random/",
    "numpy/testing/",
    "onnxruntime/backend/",
    "onnxruntime/capi/convert_npz_to_onnx_adapter",
    "onnxruntime/datasets/",
    "onnxruntime/quantization/",
    "onnxruntime/tools/",
    "onnxruntime/transformers/",
    "PIL/_imagingcms",
    "PIL/_imagingft",
    "PIL/_imagingmath",
    "PIL/_imagingmorph",
    "PIL/_imagingtk",
)
# Of the descriptions of AWS's services, only these.
_SERVICES = ("s3", "sts")
# Of a distribution's own papers: who made it, which version, and the licences, which travel along.
_PAPERS = ("METADATA", "LICEN", "COPYING", "NOTICE")
# Shared libraries that only count when something else loads them.
_MAYBE = (".libs/", "onnxruntime/capi/libonnxruntime.so")


def wanted(path: PurePosixPath) -> bool:
    """Whether a file of an installed library goes into the package."""
    if _FOLDERS.intersection(path.parts[:-1]) or path.suffix in _SUFFIXES:
        return False
    if any(part.endswith(".dist-info") for part in path.parts):
        return any(paper in str(path) for paper in _PAPERS) or "licenses" in path.parts
    if path.parts[:2] == ("botocore", "data") and len(path.parts) > 3:
        return path.parts[2] in _SERVICES
    return not str(path).startswith(_LEFT_OUT)


def unneeded_libraries(root: Path) -> list[Path]:
    """Shared libraries under ``root`` that none of Python's own modules there loads, nor any
    library that these load.

    The name of a library stands in the string table of whoever loads it; a name that stands there
    for another reason keeps a library too many, never one too few.
    """
    binaries = [path for path in sorted(root.rglob("*.so*")) if path.is_file()]
    doubtful = {
        path for path in binaries if any(m in path.relative_to(root).as_posix() for m in _MAYBE)
    }
    waiting = [path for path in binaries if path not in doubtful]
    while waiting and doubtful:
        data = waiting.pop().read_bytes()
        loaded = {path for path in doubtful if path.name.encode() + b"\0" in data}
        doubtful -= loaded
        waiting += loaded
    return sorted(doubtful)


def modules(start: Sequence[str] = (HANDLER, SMOKE), sources: Path | None = None) -> list[Path]:
    """The files of all modules of Vizinho that ``start`` imports, however late, itself included.

    Imports under ``TYPE_CHECKING`` don't count. The paths are relative to ``sources`` (where this
    Vizinho lies when left out), in order.
    """
    sources = sources or SOURCES
    found: set[Path] = set()
    waiting = list(start)
    while waiting:
        file = _file(waiting.pop(), sources)
        if file is None or file in found:
            continue
        found.add(file)
        waiting += _packages_above(file)
        waiting += _imported(ast.parse((sources / file).read_text(encoding="utf-8")))
    return sorted(found)


def _file(module: str, sources: Path) -> Path | None:
    path = Path(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if (sources / file).is_file():
            return file
    return None


def _packages_above(file: Path) -> Iterator[str]:
    for folder in file.parents:
        if folder.parts:
            yield ".".join(folder.parts)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _ours(module: str) -> bool:
    return module.partition(".")[0] == "vizinho"


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    yield tree
    children: Iterable[ast.AST] = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING"):
        children = tree.orelse
    for child in children:
        yield from _running(child)


def gallery_files(gallery: Path) -> list[Path]:
    """What of a gallery's folder a reader needs, relative to it: not the pictures, not the lock."""
    kept = []
    for path in sorted(gallery.rglob("*")):
        inside = path.relative_to(gallery)
        side = path.name.endswith(("-wal", "-shm", "-journal", ".partial"))
        if path.is_file() and inside.parts[0] not in ("images", "lock") and not side:
            kept.append(inside)
    return kept
