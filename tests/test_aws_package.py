"""The function's zip: what goes in, the same bytes each time, and what is said when it can't be."""

from __future__ import annotations

import ast
import os
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from test_architecture import imports
from vizinho.aws import package, package_parts, package_wheels
from vizinho.aws.package import GALLERY, Target, build_zip
from vizinho.errors import DeployError

HERE = Target(f"{sys.version_info.major}.{sys.version_info.minor}", "x86_64")
# Imported late, where a function has no use for them: its packed gallery needs neither.
NOT_CARRIED = {"faiss", "pyarrow", "pymilvus"}
NAMES = {"PIL": "pillow", "python_multipart": "python-multipart"}


@pytest.fixture(autouse=True)
def any_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZINHO_GLIBC", "2.36")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Vizinho of four modules and libraries of nothing, so that a build takes no minute."""
    sources, shelf = tmp_path / "sources", tmp_path / "shelf"
    (sources / "vizinho" / "aws").mkdir(parents=True)
    (sources / "vizinho" / "__init__.py").write_text("")
    (sources / "vizinho" / "aws" / "__init__.py").write_text("")
    (sources / "vizinho" / "stray.py").write_text("import a_module_that_is_not_there")
    (sources / "vizinho" / "aws" / "handler.py").write_text(
        "import vizinho\n\ndef handler(event, context):\n    return {'statusCode': 200}\n"
    )
    smoke = Path(package_parts.SOURCES, "vizinho", "aws", "package_smoke.py").read_text()
    (sources / "vizinho" / "aws" / "package_smoke.py").write_text(smoke)
    for name in ("botocore/session", "onnxruntime", "PIL/Image", "python_multipart"):
        file = shelf / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"NAME = {name!r}\n")
    monkeypatch.setattr(package_parts, "SOURCES", sources)
    monkeypatch.setattr(package, "libraries", lambda target, cache: shelf)
    return tmp_path


def gallery_in(folder: Path) -> Path:
    gallery = folder / "photos.vizinho"
    (gallery / "model").mkdir(parents=True)
    (gallery / "images").mkdir()
    for name in ("gallery.json", "vectors.npy", "lock", "images/a.png", "model/model.onnx"):
        (gallery / name).write_text(name)
    return gallery


def test_only_what_the_handler_imports_is_packed() -> None:
    packed = {module.as_posix() for module in package_parts.modules()}
    assert {"vizinho/aws/handler.py", "vizinho/embedder.py", "vizinho/__init__.py"} <= packed
    rooms = {name.split("/")[1] for name in packed}
    assert not rooms & {"cli", "serve", "train", "report", "evaluate", "page"}
    assert not {name for name in packed if "deploy" in name or "costs" in name}


def test_every_library_that_a_packed_module_imports_is_packed_too() -> None:
    foreign = set()
    for module in package_parts.modules():
        tree = ast.parse((package_parts.SOURCES / module).read_text())
        foreign |= {name.split(".")[0] for name in imports(tree, "vizinho")}
    foreign -= {*sys.stdlib_module_names, "vizinho", *NOT_CARRIED}
    assert {NAMES.get(name, name) for name in foreign} <= set(package_parts.LIBRARIES)
    assert {"numpy", "onnxruntime", "pillow", "botocore"} <= {NAMES.get(n, n) for n in foreign}


@pytest.mark.parametrize(
    ("path", "goes_in"),
    [
        ("numpy/_core/_multiarray_umath.cpython-313-x86_64-linux-gnu.so", True),
        ("numpy/_core/tests/test_api.py", False),
        ("numpy/random/mtrand.cpython-313-x86_64-linux-gnu.so", False),
        ("numpy/__init__.pyi", False),
        ("numpy-2.4.6.dist-info/licenses/LICENSE.txt", True),
        ("numpy-2.4.6.dist-info/RECORD", False),
        ("onnxruntime/capi/_pybind_state.py", True),
        ("onnxruntime/tools/convert.py", False),
        ("botocore/data/s3/2006-03-01/service-2.json.gz", True),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("botocore/data/endpoints.json", True),
        ("bin/onnxruntime_test", False),
    ],
)
def test_what_of_a_library_goes_in(path: str, goes_in: bool) -> None:
    assert package_parts.wanted(PurePosixPath(path)) is goes_in


def test_a_shared_library_goes_in_when_a_module_loads_it(tmp_path: Path) -> None:
    (tmp_path / "PIL").mkdir()
    (tmp_path / "pillow.libs").mkdir()
    (tmp_path / "PIL" / "_imaging.so").write_bytes(b"\x7fELF\0libjpeg.so.62\0")
    (tmp_path / "pillow.libs" / "libjpeg.so.62").write_bytes(b"\x7fELF\0libz.so.1\0")
    (tmp_path / "pillow.libs" / "libz.so.1").write_bytes(b"\x7fELF")
    # These two load each other, and nothing loads them.
    (tmp_path / "pillow.libs" / "libfreetype.so.6").write_bytes(b"\x7fELF\0libharfbuzz.so.0\0")
    (tmp_path / "pillow.libs" / "libharfbuzz.so.0").write_bytes(b"\x7fELF\0libfreetype.so.6\0")
    gone = [path.name for path in package_parts.unneeded_libraries(tmp_path)]
    assert gone == ["libfreetype.so.6", "libharfbuzz.so.0"]


def test_two_builds_have_the_same_bytes_and_the_second_with_nothing_changed_is_free(
    toy: Path,
) -> None:
    gallery = gallery_in(toy)
    first = build_zip(gallery, HERE, toy / "cache")
    again = build_zip(gallery, HERE, toy / "cache")
    os.utime(gallery / "vectors.npy", (1, 1))
    elsewhere = build_zip(gallery, HERE, toy / "other")
    assert first == again
    assert first.path.stat().st_mtime == again.path.stat().st_mtime
    assert elsewhere.digest == first.digest
    assert elsewhere.path.read_bytes() == first.path.read_bytes()
    (gallery / "vectors.npy").write_text("others")
    changed = build_zip(gallery, HERE, toy / "cache")
    assert changed.digest != first.digest
    assert list((toy / "cache" / "packages").glob(".work-*")) == []


def test_what_is_in_the_zip(toy: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    built = build_zip(gallery_in(toy), HERE, toy / "cache", lambda *now: heard.append(now))
    with zipfile.ZipFile(built.path) as archive:
        names = archive.namelist()
        modes = {info.external_attr >> 16 for info in archive.infolist()}
        assert sum(info.file_size for info in archive.infolist()) == built.unzipped_bytes
    tag = sys.implementation.cache_tag
    assert names == sorted(names)
    assert "vizinho/aws/handler.py" in names
    assert f"vizinho/aws/__pycache__/handler.{tag}.pyc" in names
    assert "vizinho/stray.py" not in names
    inside = {name for name in names if name.startswith(GALLERY)}
    assert inside == {f"{GALLERY}/{n}" for n in ("gallery.json", "model/model.onnx", "vectors.npy")}
    assert modes == {0o644}
    assert built.compiled
    assert sum(built.parts.values()) == built.unzipped_bytes
    assert heard[0] == (0, None)
    assert heard[-1] == (built.unzipped_bytes, built.unzipped_bytes)


def test_a_function_that_does_not_start_is_no_package(toy: Path) -> None:
    handler = package_parts.SOURCES / "vizinho" / "aws" / "handler.py"
    handler.write_text("import a_library_that_is_not_there\n")
    with pytest.raises(DeployError, match="a_library_that_is_not_there"):
        build_zip(None, HERE, toy / "cache")
    handler.write_text(
        "def handler(event, context):\n    return {'statusCode': 503, 'body': 'no'}\n"
    )
    with pytest.raises(DeployError, match="doesn't start: no"):
        build_zip(gallery_in(toy), HERE, toy / "cache")
    assert list((toy / "cache" / "packages").iterdir()) == []


def test_too_large_says_whose_the_bytes_are(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LIMIT", 100)
    with pytest.raises(DeployError, match=r"more than Lambda takes.*gallery\.vizinho 0 MB") as told:
        build_zip(gallery_in(toy), HERE, toy / "cache")
    assert "--package image" in told.value.hint


def test_what_a_killed_build_left_is_removed(toy: Path) -> None:
    left = toy / "cache" / "packages" / ".work-999999999-x"
    left.mkdir(parents=True)
    half = toy / "cache" / "packages" / "half.zip"
    half.write_bytes(b"half")
    built = build_zip(None, HERE, toy / "cache")
    assert not left.exists()
    assert zipfile.is_zipfile(built.path)


@pytest.mark.parametrize(("python", "architecture"), [("3.9", "x86_64"), ("3.13", "riscv")])
def test_a_target_that_lambda_has_not(python: str, architecture: str) -> None:
    with pytest.raises(DeployError, match="no package for"):
        Target(python, architecture)  # type: ignore[arg-type]


def test_lambdas_c_library_decides_which_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIZINHO_GLIBC")
    assert Target("3.13", "arm64").tags()[0] == "manylinux_2_34_aarch64"
    assert Target("3.11").tags()[0] == "manylinux_2_26_x86_64"
    monkeypatch.setenv("VIZINHO_GLIBC", "2.36")
    assert Target("3.11").tags()[0] == "manylinux_2_36_x86_64"


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeployError, match="no package index answers"):
        package_wheels.libraries(HERE, tmp_path)
    assert list((tmp_path / "libraries").iterdir()) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: [Errno 28] No space left on device", "disk with .*/cache/libraries is full"),
        ("ERROR: No matching distribution found for numpy==2.4.6", "glibc 2.26"),
        ("ERROR: something new", "something new"),
    ],
)
def test_what_pip_says_in_our_words(
    said: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZINHO_GLIBC", "2.26")
    pip = tmp_path / "pip"
    pip.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(package_wheels, "_pip", lambda: [str(pip)])
    with pytest.raises(DeployError, match=told):
        package_wheels.libraries(HERE, tmp_path / "cache")
    assert list((tmp_path / "cache" / "libraries").iterdir()) == []


def test_pip_works_on_the_disk_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$TMPDIR" >&2\nexit 1\n')
    pip.chmod(0o755)
    monkeypatch.setattr(package_wheels, "_pip", lambda: [str(pip)])
    with pytest.raises(DeployError, match=f"libraries: {tmp_path}/cache/libraries/"):
        package_wheels.libraries(HERE, tmp_path / "cache")
