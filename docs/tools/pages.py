"""Writes the pages of the site that follow from the code: one a module, and one a program."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from commands import Command, Parameter, read_commands

PROGRAMS = {"haruspex-infer": "haruspex_infer.cli", "haruspex": "haruspex_train.cli"}

LEFT_OUT = ("__main__", "cli", "data_commands")
"""Modules that hold a command line, which has a page of its own."""


def write_pages(folder: Path) -> None:
    """Write all pages into a folder, and remove those of modules that are gone."""
    pages = dict(_api_pages("haruspex_infer")) | dict(_api_pages("haruspex_train"))
    for program, module in PROGRAMS.items():
        commands = read_commands(import_module(module).app, program)
        pages[f"{program}.md"] = _program_page(program, commands)
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.iterdir()) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = folder / name
        # an unchanged page need not be built anew
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _api_pages(package: str) -> Iterator[tuple[str, str]]:
    """Yield file name and text of a package's page and of those of its modules."""
    top = import_module(package)
    modules = [
        found.name
        for found in pkgutil.walk_packages(top.__path__, f"{package}.")
        if found.name.rpartition(".")[2] not in LEFT_OUT
    ]
    table = [
        f"   * - :py:mod:`{module.removeprefix(package)[1:]} <{module}>`\n     - {_first_line(module)}"
        for module in modules
    ]
    yield (
        f"{package}.rst",
        "\n".join(
            [
                _titled(package),
                f"{_first_line(package)}\n",
                *_public_names(package),
                "Modules\n-------\n",
                ".. list-table::\n   :widths: 25 75\n",
                *table,
                "\n.. toctree::\n   :hidden:\n",
                *(f"   {module}" for module in modules),
                "",
            ]
        ),
    )
    for module in modules:
        yield f"{module}.rst", f"{_titled(module)}\n.. automodule:: {module}\n"


def _public_names(package: str) -> list[str]:
    """Return a table of the names that a package itself offers, with the first line of each docstring."""
    names = getattr(import_module(package), "__all__", [])
    if not names:
        return []
    rows = []
    for name in names:
        found = getattr(import_module(package), name)
        summary = found.__doc__.strip().splitlines()[0]
        rows.append(f"   * - :py:obj:`{package}.{name} <{found.__module__}.{name}>`\n     - {summary}")
    return ["Public names\n------------\n", ".. list-table::\n   :widths: 35 65\n", *rows, ""]


def _first_line(module: str) -> str:
    """Return the first line of a module's docstring, read without running the module."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    assert docstring is not None, f"{module} has no docstring"
    return docstring.splitlines()[0]


def _titled(name: str) -> str:
    return f"{name}\n{'=' * len(name)}\n"


def _program_page(program: str, commands: list[Command]) -> str:
    text = [f"# {program}\n"]
    for command in commands:
        if command.name != program:
            text.append(f"## {command.name}\n")
        values = " ".join(f"{each.value}" for each in command.arguments)
        text.append(f"```text\n{command.name} [OPTIONS] {values}\n```\n")
        text += [f"{_with_code(paragraph)}\n" for paragraph in command.paragraphs]
        text += [_described(each) for each in (*command.arguments, *command.options)]
    return "\n".join(text)


def _described(parameter: Parameter) -> str:
    term = " ".join(part for part in (", ".join(parameter.names), parameter.value) if part)
    return f"`{term}`\n: {_with_code(parameter.help)}\n"


def _with_code(text: str) -> str:
    """Set options and placeholders of file names apart from the words around them."""
    return re.sub(r"(?<![\w-])(--?[a-z][\w-]*|\w*_\w*/?)", r"`\1`", text)
