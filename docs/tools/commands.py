"""What the command lines take, read from the programs themselves."""

from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

import typer


@dataclass(frozen=True)
class Parameter:
    """An argument or option.

    Attributes
    ----------
    names : tuple of str
        How an option is given, as ``-o`` and ``--output``; empty for an argument.
    value : str
        Placeholder of the value; empty for a switch.
    help : str
        What it is for, with its default.
    """

    names: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True)
class Command:
    """One command of a program.

    Attributes
    ----------
    name : str
        As typed, as ``haruspex train``.
    paragraphs : tuple of str
        What it does.
    arguments, options : tuple of Parameter
        What it takes.
    """

    name: str
    paragraphs: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]


def read_commands(app: typer.Typer, program: str) -> list[Command]:
    """Return the command of a program, or its commands in the order of the help."""
    top: Any = typer.main.get_command(app)
    parts = getattr(top, "commands", None)
    if parts is None:
        return [_command(top, program)]
    return [_command(part, f"{program} {name}") for name, part in parts.items()]


def _command(command: Any, name: str) -> Command:  # noqa: ANN401 - typer does not export the class
    context = typer.Context(command, info_name=name, **command.context_settings)
    shown = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    paragraphs = [" ".join(part.split()) for part in cleandoc(command.help or "").split("\n\n")]
    return Command(
        name,
        tuple(paragraphs),
        tuple(_parameter(each) for each in shown if each.param_type_name == "argument"),
        tuple(_parameter(each) for each in shown if each.param_type_name == "option"),
    )


def _parameter(given: Any) -> Parameter:  # noqa: ANN401
    argument = given.param_type_name == "argument"
    names = () if argument else tuple(sorted((*given.opts, *given.secondary_opts), key=len))
    switch = not argument and (given.is_flag or "--help" in names)
    value = "" if switch else given.metavar or given.name.upper().replace("_", "-")
    text = given.help or ""
    if given.show_default and not switch and given.default not in (None, ""):
        text = f"{text} [default: {given.default}]"
    return Parameter(names, value, text)
