"""Writes the manual page of haruspex-infer from its command line.

    python docs/tools/manpage.py docs/man/haruspex-infer.1

The page is committed and travels in the wheel, so that building a wheel needs no more than setuptools.
"""

import sys
from pathlib import Path

from commands import Command, Parameter, read_commands

from haruspex_infer import __version__
from haruspex_infer.cli import PROGRAM, app

EXAMPLES = (
    ("haruspex-infer map.mrc", "Annotate a map; the files go to map_haruspex/."),
    ("haruspex-infer map.mrc --model model.cif -o out", "Compare a model with the map as well."),
    (
        "haruspex-infer *.map.gz --device cuda -o results",
        "Annotate many maps on the GPU; the same command again does what is missing.",
    ),
    ("haruspex-infer --example", "Try the program on the map that it carries."),
)

STATUS = (
    ("0", "All maps were annotated."),
    ("2", "An input, an option or the device is wrong; one sentence on standard error tells what."),
    ("130", "Interrupted from the keyboard."),
)

PAPER = (
    "P. Mostosi, H. Schindelin, P. Kollmannsberger, A. Thorn: Haruspex: A Neural Network for the Automatic "
    "Identification of Oligonucleotides and Protein Secondary Structure in Cryo-Electron Microscopy Maps. "
    "Angew. Chem. Int. Ed. 2020, 59, 14788–14795. https://doi.org/10.1002/anie.202000421"
)


def escaped(text: str) -> str:
    """Return text that roff sets as it is: no command, no escape, hyphens that can be typed."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("~", "\\(ti")
    return "\\&" + text if text.startswith(".") else text


def described(term: str, text: str) -> list[str]:
    """Return lines for a term and its meaning."""
    return [".TP", term, escaped(text)]


def term(parameter: Parameter) -> str:
    """Return a parameter as it is typed: names bold, the value slanted."""
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in parameter.names)
    value = f"\\fI{escaped(parameter.value)}\\fR" if parameter.value else ""
    return " ".join(part for part in (names, value) if part)


def page(command: Command, version: str) -> str:
    """Return the manual page of a command."""
    name = escaped(command.name)
    first, *rest = command.paragraphs
    values = " ".join(f"[\\fI{escaped(each.value)}\\fR]" for each in command.arguments)
    lines = [
        "'\\\" -*- coding: utf-8 -*-",
        '.\\" Written by docs/tools/manpage.py: do not edit.',
        f'.TH {command.name.upper()} 1 "" "{command.name} {version}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{name} \\- {escaped(first[0].lower() + first[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{name}\\fR [\\fIOPTIONS\\fR] {values}",
        ".SH DESCRIPTION",
    ]
    lines += "\n.PP\n".join(escaped(paragraph) for paragraph in rest).split("\n")
    lines.append(".SH ARGUMENTS")
    for each in command.arguments:
        lines += described(term(each), each.help)
    lines.append(".SH OPTIONS")
    for each in command.options:
        lines += described(term(each), each.help)
    lines.append(".SH EXIT STATUS")
    for status, meaning in STATUS:
        lines += described(f"\\fB{status}\\fR", meaning)
    lines.append(".SH EXAMPLES")
    for example, meaning in EXAMPLES:
        lines += described(f"\\fB{escaped(example)}\\fR", meaning)
    lines += [".SH SEE ALSO", escaped(PAPER)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page to the file named on the command line."""
    (command,) = read_commands(app, PROGRAM)
    Path(sys.argv[1]).write_text(page(command, __version__), encoding="utf-8")


if __name__ == "__main__":
    main()
