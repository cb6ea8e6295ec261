"""Writes what docs/ says about the code from the code: ``make docs``.

``docs/cli.md`` is made whole from the command line's own help, and the table of routes in
``docs/api.md`` from the server's OpenAPI description. ``tests/test_docs.py`` fails when a file
is not what this would write.
"""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUTES = re.compile(r"(<!-- routes: made by `make docs` -->\n).*(<!-- end of routes -->)", re.S)


def cli_page() -> str:
    """``docs/cli.md``: every verb with its arguments and options."""
    import typer

    from vizinho.cli import VERBS, build_app

    group: Any = typer.main.get_command(build_app())
    lines = [
        "# The command line",
        "",
        "<!-- Made by `make docs` from the commands themselves; change them, not this page. -->",
        "",
        "Results go to standard output, messages and progress to standard error. Exit codes: 0",
        "done, 1 an error that is told with its way out, 2 a command line that makes no sense,",
        "130 Ctrl-C. With `--json` an error is JSON too, on standard error:",
        '`{"error": {"code", "message", "hint"}}`.',
        "",
        *settings_section(),
    ]
    for verb in VERBS:
        lines += verb_section(verb, group.commands[verb])
    return "\n".join(lines).rstrip() + "\n"


def settings_section() -> list[str]:
    """The environment variables, as the settings module lists them."""
    from vizinho import settings

    rows = re.findall(r"^``(VIZINHO_\w+)`` +(.+)$", settings.__doc__ or "", re.M)
    return [
        "| environment variable | what it decides |",
        "| --- | --- |",
        *(f"| `{name}` | {what.replace('``', '`')} |" for name, what in rows),
        "",
    ]


def verb_section(verb: str, command: Any) -> list[str]:
    """One verb: usage, what it does, a table of what can be said to it."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["vizinho", verb, *(a.metavar or a.name.upper() for a in arguments)])
    rows = [(cell(f"`{a.metavar or a.name.upper()}`"), a.help) for a in arguments]
    rows += [(spelling(option), option_help(option)) for option in options]
    return [
        f"## vizinho {verb}",
        "",
        "```text",
        f"{usage} [OPTIONS]",
        "```",
        "",
        plain(inspect.cleandoc(command.help or "")),
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {cell(text)} |" for name, text in rows),
        "",
    ]


def spelling(option: Any) -> str:
    """An option as it is typed: ``-k INTEGER``, ``--json``."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if getattr(option, "is_flag", False):
        return names
    annotation = getattr(getattr(option, "type_descriptor", None), "annotation", str)
    kind = getattr(annotation, "__name__", "text")
    words = {"int": "NUMBER", "float": "NUMBER", "Path": "PATH", "str": "TEXT"}
    return f"{names} {option.metavar or words.get(kind, kind.upper())}"


def option_help(option: Any) -> str:
    """An option's sentence, with its default where the sentence does not say it."""
    text = option.help or ""
    default = option.default
    if option.required:
        return f"{text} Required."
    told = (
        default not in (None, False, "", (), []) and "efault" not in text and not callable(default)
    )
    return f"{text} Default: {getattr(default, 'value', default)}." if told else text


def plain(text: str) -> str:
    """Help text without rich's markup tags."""
    return re.sub(r"\[/?(?:bold|italic|dim)\]", "`", text)


def cell(text: str) -> str:
    """Text that can stand in a cell of a Markdown table."""
    return plain(text).replace("|", "\\|").replace("*", "\\*")


def routes_table() -> str:
    """The server's routes as a Markdown table, from its OpenAPI description."""
    rows = ["| route | what it does |", "| --- | --- |"]
    for path, methods in sorted(openapi()["paths"].items()):
        for method, operation in methods.items():
            summary = operation.get("summary") or ""
            rows.append(f"| `{method.upper()} {path}` | {summary.rstrip('.')} |")
    return "\n".join(rows) + "\n"


def openapi() -> dict[str, Any]:
    """The OpenAPI description of a server, over a gallery made for the purpose."""
    sys.path.insert(0, str(ROOT / "tests"))
    from toy_gallery import make_toy_gallery
    from vizinho.serve.app import create_app

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(make_toy_gallery(Path(folder)))
        description = app.openapi()
        app.state.service.close()
    return description


def api_page() -> str:
    """``docs/api.md`` with the table of routes brought up to date."""
    page = (ROOT / "docs" / "api.md").read_text()
    table = routes_table()
    return ROUTES.sub(lambda found: found[1] + table + found[2], page)


def main() -> None:
    """Writes both pages and says which changed."""
    for name, page in (("cli.md", cli_page()), ("api.md", api_page())):
        path = ROOT / "docs" / name
        changed = not path.exists() or path.read_text() != page
        path.write_text(page)
        sys.stdout.write(f"docs/{name}: {'rewritten' if changed else 'as it was'}\n")


if __name__ == "__main__":
    main()
