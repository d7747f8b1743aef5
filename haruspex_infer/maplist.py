"""Which maps a command line names, and the folder where the results of each go."""

import os
from pathlib import Path

from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import stem_of

LIST = "@"


def wanted(arguments: list[Path]) -> list[Path]:
    """Return the maps that arguments name, each once.

    Parameters
    ----------
    arguments : list of Path
        Maps, and lists of maps: ``@FILE``, the path of a map on each line; empty lines and those that begin
        with # are left out.

    Raises
    ------
    HaruspexError
        If a list cannot be read, or names no map.
    """
    maps: dict[Path, Path] = {}
    for argument in arguments:
        for path in _listed(Path(str(argument)[1:])) if is_list(argument) else [argument]:
            maps.setdefault(_absolute(path), path)
    return list(maps.values())


def is_list(argument: Path) -> bool:
    """Return whether an argument stands for the maps in a list."""
    return str(argument).startswith(LIST) and not argument.exists()


def _listed(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise HaruspexError(f"The list of maps {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise HaruspexError(f"The list of maps {path} is no text: give a file with a map a line.") from error
    maps = [Path(line) for line in lines if line and not line.startswith("#")]
    if not maps:
        raise HaruspexError(f"The list of maps {path} names none: give a file with a map a line.")
    return maps


def folders_of(maps: list[Path], output: Path) -> dict[Path, Path]:
    """Return the folder of each map: STEM_haruspex in the output folder.

    Maps of one name get the folders that they come from as part of the name, as many as tell them apart:
    job012/postprocess.mrc and job013/postprocess.mrc go to job012_postprocess_haruspex and
    job013_postprocess_haruspex.

    Raises
    ------
    HaruspexError
        If two maps would write to one folder all the same.
    """
    parts = {path: (*_absolute(path).parent.parts[1:], stem_of(path)) for path in maps}
    lengths = dict.fromkeys(maps, 1)
    while clashes := _clashes({path: parts[path][-lengths[path] :] for path in maps}):
        for path in clashes:
            if lengths[path] == len(parts[path]):
                raise HaruspexError(
                    f"Two maps would write to {output / _folder(parts[path][-1:])}: annotate {path} in a run "
                    "of its own, with another -o."
                )
            lengths[path] += 1
    return {path: output / _folder(parts[path][-lengths[path] :]) for path in maps}


def _absolute(path: Path) -> Path:
    """Return the whole path, without ``..``; links stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps ``..``


def _clashes(names: dict[Path, tuple[str, ...]]) -> list[Path]:
    first: dict[str, Path] = {}
    clashes: dict[Path, None] = {}
    for path, name in names.items():
        other = first.setdefault(_folder(name).casefold(), path)  # as some file systems do
        if other is not path:
            clashes |= {other: None, path: None}
    return list(clashes)


def _folder(name: tuple[str, ...]) -> str:
    return f"{'_'.join(name)}_haruspex"
