"""The page's words: the same in both languages, each of them said somewhere, none said that is not
there. Read from the source, as text; how numbers are written is seen in a browser (tests/e2e)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "vizinho"
PAGE = PACKAGE / "page"
LANGUAGES = ("en", "pt")
# What both languages write alike, beside what is nothing but values.
ALIKE = {"Top-1"}

_TEXT = r'"(?:[^"\\]|\\.)*"'
_FORMS = r"\{(?P<forms>[^}]*(?:\{\w+\}[^}]*)*)\}"
_ENTRY = re.compile(rf'\s*"(?P<name>[\w. -]+)":\s*(?:(?P<text>{_TEXT})|{_FORMS}),')
_FORM = re.compile(rf"\s*(?P<form>one|few|many|other):\s*(?P<text>{_TEXT}),?")
_PLACE = re.compile(r"\{(\w+)\}")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
_COMMENT = re.compile(r"(?m)(?:^|\s)//[^\n]*$|/\*.*?\*/", re.S)
_HOLE = re.compile(r"\$\{[^}]*\}")
_KEY = re.compile(r"[a-z][\w-]*(?:\.[\w-]+)+")
# Looks like a word's name and is none.
_NO_WORD = re.compile(r".*\.(?:js|css|svg|html|png|jpe?g|webp)")

Words = dict[str, dict[str, str]]


def read_words(text: str) -> Words:
    """name -> {form: text}, where a word without forms has the one form ``other``.

    Raises:
        AssertionError: a line that is no word, or a word that is there twice.
    """
    body, found, at = re.sub(r"(?m)^\s*//.*$", "", text), {}, 0
    match = re.fullmatch(r"\s*export default \{(.*)\};\s*", body, re.S)
    assert match, "the file is `export default { ... };`"
    body = match[1]
    while body[at:].strip():
        entry = _ENTRY.match(body, at)
        assert entry, f"no word: {body[at : at + 80]!r}"
        name = entry["name"]
        assert name not in found, f"{name} is there twice"
        if entry["text"]:
            found[name] = {"other": entry["text"][1:-1]}
        else:
            forms = {each["form"]: each["text"][1:-1] for each in _FORM.finditer(entry["forms"])}
            assert not _FORM.sub("", entry["forms"]).strip(), f"{name}: {entry['forms']!r}"
            found[name] = forms
        at = entry.end()
    return found


class Said(NamedTuple):
    """A name of a word in the source, where ``parts`` have a hole of any text between them."""

    where: str
    parts: tuple[str, ...]

    def matches(self, name: str) -> bool:
        return re.fullmatch(r"[\w -]+".join(map(re.escape, self.parts)), name) is not None


def said_in(name: str, text: str, rooms: set[str]) -> Iterator[Said]:
    """All that stands in a script or in the HTML and could only be a word's name."""
    if name.endswith(".html"):
        for value in re.findall(r'\sdata-t(?:-\w+)?="([^"]*)"', text):
            yield Said(name, (value,))
        return
    for plain, template in _STRING.findall(_COMMENT.sub(" ", text)):
        parts = tuple(_HOLE.split(template)) if template else (plain,)
        if parts[0].split(".")[0] not in rooms or "." not in parts[0]:
            continue
        shape = "x".join(parts)
        if _KEY.fullmatch(shape) and not _NO_WORD.fullmatch(shape):
            yield Said(name, parts)


def page_said(rooms: set[str]) -> list[Said]:
    files = [path for path in PAGE.iterdir() if path.suffix in (".js", ".html")]
    return [
        said
        for path in sorted(files)
        if not re.match(r"words\.[\w.]+\.js|docs\.", path.name)
        for said in said_in(path.name, path.read_text(), rooms)
    ]


@pytest.fixture(scope="module")
def words() -> dict[str, Words]:
    parts = ("words", "words.errors")
    found: dict[str, Words] = {}
    for code in LANGUAGES:
        read = [read_words((PAGE / f"{part}.{code}.js").read_text()) for part in parts]
        assert not read[0].keys() & read[1].keys()
        found[code] = read[0] | read[1]
    return found


@pytest.fixture(scope="module")
def said(words: dict[str, Words]) -> list[Said]:
    return page_said({name.split(".")[0] for name in words["en"]})


def test_both_languages_have_the_same_words_in_the_same_order(words: dict[str, Words]) -> None:
    assert set(words["en"]) ^ set(words["pt"]) == set()
    assert list(words["en"]) == list(words["pt"])


def test_both_languages_leave_room_for_the_same_values(words: dict[str, Words]) -> None:
    for name, english in words["en"].items():
        portuguese = words["pt"][name]
        assert set(english) == set(portuguese), name
        assert set(english) in ({"other"}, {"one", "other"}), name
        places = {code: set(_PLACE.findall(words[code][name]["other"])) for code in LANGUAGES}
        assert places["en"] == places["pt"], name
        for forms in (english, portuguese):
            # "one" may leave the number out: "the only picture".
            assert set(_PLACE.findall(forms.get("one", ""))) <= places["en"], name


def test_nothing_is_left_in_english(words: dict[str, Words]) -> None:
    same = {
        name: forms["other"]
        for name, forms in words["en"].items()
        if forms == words["pt"][name]
        and forms["other"] not in ALIKE
        and re.search(r"\w", _PLACE.sub("", forms["other"]))
    }
    assert same == {}


def test_every_word_that_is_said_is_there(words: dict[str, Words], said: list[Said]) -> None:
    missing = [each for each in said if not any(each.matches(name) for name in words["en"])]
    assert missing == []


def test_every_word_that_is_there_is_said(words: dict[str, Words], said: list[Said]) -> None:
    idle = [name for name in words["en"] if not any(each.matches(name) for each in said)]
    assert idle == []


def test_an_error_that_is_put_in_words_exists(words: dict[str, Words]) -> None:
    """Names of errors are made from codes, so the one above can't know that a code is none."""
    scripts = "".join(path.read_text() for path in PAGE.glob("[!w]*.js"))
    python = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    codes = {name.split(".")[1] for name in words["en"] if name.startswith("error.")}
    unknown = {
        code
        for code in codes
        if f'"{code}"' not in python
        and f'"{code}"' not in scripts
        and f'"error.{code}' not in scripts
    }
    assert unknown == set()


def test_every_error_says_what_to_do(words: dict[str, Words]) -> None:
    """Each title has its way out; "other" has the server's words, "again" is a button."""
    titles = {name for name in words["en"] if re.fullmatch(r"error\.\w+", name)}
    without = {name for name in titles if f"{name}.do" not in words["en"]}
    assert without <= {"error.other", "error.again"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('t("search.busy")', ["search.busy"]),
        ('t(`search.kind.${kind ?? "none"}`)', ["search.kind."]),
        ('// t("search.busy")', []),
        ('import("./search.js"); "care"; "v1/search"; "e.g. search.it"', []),
        ('wide ? "search.a.b" : "search.c"', ["search.a.b", "search.c"]),
    ],
)
def test_names_are_found_in_a_script(source: str, names: list[str]) -> None:
    assert ["".join(each.parts) for each in said_in("x.js", source, {"search"})] == names


@pytest.mark.parametrize(
    "broken",
    [
        'export default { "a.b": "x", "a.b": "y", };',
        'export default { a: "x", };',
        'export default { "a.b": { one: "x", two: "y" }, };',
        'export default { "a.b": "x" + "y", };',
    ],
)
def test_a_file_of_words_holds_only_words(broken: str) -> None:
    with pytest.raises(AssertionError):
        read_words(broken)


def test_a_word_is_read_with_its_forms() -> None:
    text = """export default {
  // why
  "a.b": "say \\"x\\"",
  "a.c": { one: "{n} x", other: "{n} xs" },
};
"""
    assert read_words(text) == {
        "a.b": {"other": 'say \\"x\\"'},
        "a.c": {"one": "{n} x", "other": "{n} xs"},
    }
