"""Annotate cryo-EM maps voxel by voxel: helix, strand, nucleotide or other.

Each MAP (MRC or CCP4, plain, .gz or .bz2) gets probability maps of the
four classes and a label map on its own voxels, scripts for ChimeraX and
PyMOL, a summary, and a report that any browser opens. Without -o they go to STEM_haruspex/ in the current
folder.

With --model, an atomic model is compared with the map residue by residue:
a table, a strip plot, a copy of the model with agreement (0 to 100) in its
B factors, and the stretches to look at first.

With several MAPs, a table of all is kept in haruspex_maps.csv; a second call
goes on where the first was ended, and annotates what is missing, has changed
or failed.

With --elements, helix axes, strand traces grouped to sheets and backbones
of nucleic acid are written as pseudo-atoms (mmCIF, PDB), ChimeraX markers
and a table.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# before NumPy loads: maps are worked on in threads of this program, and those of BLAS only get in their way
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from haruspex_infer import __version__
from haruspex_infer.ending import WRONG_INPUT
from haruspex_infer.errors import DeviceLostError, HaruspexError
from haruspex_infer.network import DEFAULT_NETWORK

if TYPE_CHECKING:
    from haruspex_infer.job import Settings
    from haruspex_infer.maptable import Row

PROGRAM = "haruspex-infer"

app = typer.Typer(pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _known_networks() -> list[str]:
    from haruspex_infer.network import shipped_networks

    return sorted(shipped_networks())


@app.command(help=__doc__)
def annotate_maps(
    maps: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MAP...", help="Maps to annotate, or @FILE, a list of them.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for the files; with several maps, for the table and a folder STEM_haruspex of each.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Network that ships with the program, or an ONNX file.",
            autocompletion=_known_networks,
        ),
    ] = DEFAULT_NETWORK,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda[:N]",
            help="Where the network runs.",
            autocompletion=lambda: ["auto", "cpu", "cuda"],
        ),
    ] = "auto",
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="Å", help="Voxel size, if the header's is missing or wrong.", show_default=False
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Map on the same voxels; only where it is at least 0.5 is annotated.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PDB or mmCIF model (or .gz), fitted into the map, to compare with it.",
            show_default=False,
        ),
    ] = None,
    density_weighted: Annotated[
        bool,
        typer.Option(
            "--density-weighted",
            help="Also write probability × density of each class, for Coot and Moorhen.",
        ),
    ] = False,
    elements: Annotated[
        bool,
        typer.Option(
            "--elements", help="Also write helices, strands and backbones of nucleic acid as objects."
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what was understood of each map, and annotate nothing.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Write STEM_report.html: surface, slices, figures, for any browser."
        ),
    ] = True,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="Memory to keep to: tiles become smaller, and the run slower.",
            show_default=False,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler, such as tcp://host:8786, whose workers annotate the maps.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Annotate the example: polymerase with RNA, part of EMD-11007.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Annotate maps; the module's docstring is the help text."""
    try:
        chosen, several = _which_maps(maps or [], example)
        several |= scheduler is not None
        if check:
            failed = _check_all(chosen, voxel_size)
        else:
            from haruspex_infer.job import Settings  # NumPy takes its time to load, and --help needs none

            settings = Settings(
                network=network,
                device=device,
                voxel_size=voxel_size,
                mask=mask,
                model=model,
                density_weighted=density_weighted,
                elements=elements,
                memory=None if memory is None else memory * 1e9,
                html=report,
                command=shlex.join([PROGRAM, *sys.argv[1:]]),
            )
            if several:
                failed = _annotate_many(chosen, output or Path(), settings, scheduler, quiet)
            else:
                _annotate_one(chosen[0], output, settings, quiet)
                failed = False
    except DeviceLostError:  # such a process ends in a way of its own
        raise
    except HaruspexError as error:
        _complain(str(error))
        failed = True
    if failed:
        raise typer.Exit(WRONG_INPUT)


def _which_maps(arguments: list[Path], example: bool) -> tuple[list[Path], bool]:
    """Return the maps, and whether they are to be treated as several even if they are one."""
    if example:
        if arguments:
            raise HaruspexError("Give either maps or --example, not both.")
        from haruspex_infer.example import example_map

        return [example_map()], False
    if not arguments:
        raise HaruspexError(f"No map is given: name one, or try {PROGRAM} --example.")
    from haruspex_infer.maplist import is_list, wanted

    chosen = wanted(arguments)
    return chosen, len(chosen) > 1 or any(map(is_list, arguments))


def _check_all(maps: list[Path], voxel_size: float | None) -> bool:
    """Print what was understood of maps; return whether any cannot be annotated."""
    from haruspex_infer.mapcheck import check_map

    failed = False
    for path in maps:
        try:
            typer.echo(check_map(path, voxel_size).text(path.name))
        except HaruspexError as error:
            _complain(str(error), path.name)
            failed = True
    return failed


def _annotate_one(path: Path, output: Path | None, settings: "Settings", quiet: bool) -> None:
    """Annotate a map here and now."""
    from haruspex_infer.annotator import Annotator
    from haruspex_infer.job import annotate_map
    from haruspex_infer.maplist import folders_of

    folder = output or folders_of([path], Path())[path]
    annotator = Annotator(settings.network, settings.device, settings.memory)
    with _progress("tiles", quiet) as (tell, progress):
        result = annotate_map(annotator, path, folder, settings, tell, progress)
    if not quiet:
        typer.echo("\n".join(result))


def _annotate_many(
    maps: list[Path], output: Path, settings: "Settings", scheduler: str | None, quiet: bool
) -> bool:
    """Annotate maps wherever there is room; return whether any could not be."""
    from haruspex_infer.batch import annotate_all
    from haruspex_infer.files import prepare_folder
    from haruspex_infer.maplist import folders_of
    from haruspex_infer.maptable import NAME, shown_table

    folders = folders_of(maps, output)
    prepare_folder(output)
    rows: list[Row] = []
    with _progress("maps", quiet) as (tell, progress):
        for done, step in enumerate(annotate_all(folders, settings, output / NAME, scheduler), 1):
            rows = step.rows
            for line in step.said:
                tell(f"{done}/{len(rows)} {line}")
            if step.row.fault:
                _complain(step.row.fault, step.row.path.name)
            progress(done, len(rows))
    if not quiet:
        typer.echo(f"{shown_table(rows)} ({output / NAME})")
    return any(row.fault for row in rows)


@contextmanager
def _progress(what: str, quiet: bool) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Give what prints a line, and what moves the bar that a terminal shows; they do nothing if quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    with bar if console.is_terminal and not quiet else nullcontext():
        task = bar.add_task(what, total=None)
        yield (
            lambda line: console.print(line, markup=False),
            lambda done, total: bar.update(task, completed=done, total=total),
        )


def _complain(error: str, of: str = "") -> None:
    """Print an error, with the name of the map among several that it is about."""
    about = "" if of in error else f"{of}: "
    typer.echo(f"{PROGRAM}: error: {about}{error}", err=True)
