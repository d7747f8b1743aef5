"""Annotate cryo-EM maps voxel by voxel: helix, strand, nucleotide or other.

Each MAP (MRC or CCP4, plain, .gz or .bz2) gets probability maps of the
four classes and a label map on its own voxels, scripts for ChimeraX and
PyMOL, a summary, and a report that any browser opens. Without -o they go to STEM_haruspex/ in the current
folder.

With --model, an atomic model is compared with the map residue by residue:
a table, a strip plot, a copy of the model with agreement (0 to 100) in its
B factors, and the stretches to look at first.

With --elements, helix axes, strand traces grouped to sheets and backbones
of nucleic acid are written as pseudo-atoms (mmCIF, PDB), ChimeraX markers
and a table.
"""

import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from haruspex_infer import __version__
from haruspex_infer.ending import WRONG_INPUT, run
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, quoted, sole_use
from haruspex_infer.network import DEFAULT_NETWORK

if TYPE_CHECKING:
    from haruspex_infer.annotation import Annotation
    from haruspex_infer.annotator import Annotator
    from haruspex_infer.compare import ResidueReport
    from haruspex_infer.plan import Plan

PROGRAM = "haruspex-infer"

_SHOWN = 10


@dataclass(frozen=True)
class _Job:
    """What is to be done with every map."""

    network: str
    device: str
    voxel_size: float | None
    mask: Path | None
    model: Path | None
    density_weighted: bool
    elements: bool
    memory: float | None
    html: bool
    command: str
    quiet: bool


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
        list[Path] | None, typer.Argument(metavar="MAP...", help="Maps to annotate.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for the files; with several maps, a folder STEM_haruspex in it for each.",
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
        command = shlex.join([PROGRAM, *sys.argv[1:]])
        job = _Job(
            network,
            device,
            voxel_size,
            mask,
            model,
            density_weighted,
            elements,
            memory,
            report,
            command,
            quiet,
        )
        wanted = _which_maps(maps, example)
        failed = _check_all(wanted, voxel_size) if check else _annotate_all(wanted, output, job)
    except HaruspexError as error:
        _complain(error)
        failed = True
    if failed:
        raise typer.Exit(WRONG_INPUT)


def main() -> None:
    """Run the command line."""
    run(lambda: app(prog_name=PROGRAM), PROGRAM)


def _which_maps(maps: list[Path] | None, example: bool) -> list[Path]:
    if example:
        if maps:
            raise HaruspexError("Give either maps or --example, not both.")
        from haruspex_infer.example import example_map

        return [example_map()]
    if not maps:
        raise HaruspexError(f"No map is given: name one, or try {PROGRAM} --example.")
    return maps


def _check_all(maps: list[Path], voxel_size: float | None) -> bool:
    """Print what was understood of maps; return whether any cannot be annotated."""
    from haruspex_infer.mapcheck import check_map

    failed = False
    for path in maps:
        try:
            typer.echo(check_map(path, voxel_size).text(path.name))
        except HaruspexError as error:
            _complain(error)
            failed = True
    return failed


def _annotate_all(maps: list[Path], output: Path | None, job: _Job) -> bool:
    """Annotate maps one after the other; return whether any could not be."""
    # ONNX Runtime takes its time to load, and --help needs none of it
    from haruspex_infer.annotator import Annotator

    folders = _folders(maps, output)
    annotator = Annotator(job.network, job.device, None if job.memory is None else job.memory * 1e9)
    console = Console(stderr=True, quiet=job.quiet, highlight=False, soft_wrap=True)
    failed = False
    for path, found in _found_ahead(annotator, list(folders), job):
        folder = folders[path]
        made_here = not folder.exists()
        try:
            annotation, report = _annotate_one(annotator, path, found.result(), folder, job, console)
        except HaruspexError as error:
            if made_here:
                with suppress(OSError):  # nobody looks for results in a folder that is not there
                    folder.rmdir()
            if annotator.failed:
                raise
            _complain(error)
            failed = True
            continue
        if not job.quiet:
            typer.echo(_result(annotation, folder, job.html))
            if report is not None:
                typer.echo(_look_first(report, annotation.map.stem, job.html))
    return failed


def _found_ahead(
    annotator: "Annotator", maps: list[Path], job: _Job
) -> "Iterator[tuple[Path, Future[Plan]]]":
    """Yield maps as they are read and surveyed, each while the one before is annotated and written."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(_find, annotator, maps[0], job)
        try:
            for path, following in zip(maps, [*maps[1:], None], strict=True):
                current = ahead
                wait([current])
                if following is not None:
                    ahead = reader.submit(_find, annotator, following, job)
                yield path, current
        finally:
            ahead.cancel()


def _find(annotator: "Annotator", path: Path, job: _Job) -> "Plan":
    """Read a map and find the molecule in it."""
    from haruspex_infer.inputs import as_map, as_mask
    from haruspex_infer.placement import refuse_misplaced
    from haruspex_infer.stages import timed
    from haruspex_infer.structure import read_structure

    seconds: dict[str, float] = {}
    with timed(seconds, "read"):
        map_ = as_map(path, job.voxel_size)
        where = None if job.mask is None else as_mask(job.mask, map_)
    if job.model is not None:  # told before the work
        refuse_misplaced(read_structure(job.model), map_.grid, str(job.model))
    found = annotator.find(map_, where)
    return replace(found, seconds=seconds | found.seconds)


def _folders(maps: list[Path], output: Path | None) -> dict[Path, Path]:
    """Return the output folder of each map."""
    from haruspex_infer.mapfile import stem_of

    for path in maps:
        quoted(str(path.absolute()))  # told before the work
    if len(maps) == 1 and output is not None:
        return {maps[0]: output}
    folders: dict[Path, Path] = {}
    for path in maps:
        folder = (output or Path()) / f"{stem_of(path)}_haruspex"
        if folder in folders.values():
            raise HaruspexError(
                f"Two maps would write to {folder}: annotate {path} in a run of its own, with another -o."
            )
        folders[path] = folder
    return folders


def _annotate_one(
    annotator: "Annotator", path: Path, found: "Plan", folder: Path, job: _Job, console: Console
) -> "tuple[Annotation, ResidueReport | None]":
    prepare_folder(folder)
    with sole_use(folder):
        return _annotate_into(folder, annotator, path, found, job, console)


def _annotate_into(
    folder: Path, annotator: "Annotator", path: Path, found: "Plan", job: _Job, console: Console
) -> "tuple[Annotation, ResidueReport | None]":
    plan = annotator.lay(found)
    console.print(f"{path.name}: {annotator.line()}, {plan.line()}", markup=False)
    if plan.mask is not None:  # a density map given by mistake shows in this share
        console.print(f"{path.name}: the mask keeps {plan.mask.mean():.1%} of the voxels", markup=False)
    for warning in plan.warnings:
        console.print(f"{path.name}: note: {warning}", markup=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar if console.is_terminal and not console.quiet else nullcontext():
        task = bar.add_task(path.name, total=None)
        annotation = annotator.run(plan, lambda done, total: bar.update(task, completed=done, total=total))
    report = None if job.model is None else annotation.compare(job.model)
    annotation.save(
        folder, report=report, density_weighted=job.density_weighted, html=job.html, command=job.command
    )
    if job.elements:
        from haruspex_infer.findelements import find_elements

        elements = find_elements(annotation)
        elements.save(folder, annotation.map.stem)
        console.print(f"{path.name}: {elements.line()}", markup=False)
    for note in () if report is None else report.notes:
        console.print(f"{path.name}: note: {note}", markup=False)
    return annotation, report


def _result(annotation: "Annotation", folder: Path, html: bool) -> str:
    composition = annotation.composition
    shares = ", ".join(
        f"{name} {part['molecule_fraction']:.0%}" for name, part in composition.items() if name != "other"
    )
    total = sum(part["molecule_volume"] for part in composition.values())
    seconds = sum(annotation.report["seconds"].values())
    return (
        f"{folder}: {total:,.0f} Å³ of molecular density, {shares}; {seconds:.1f} s; "
        f"open {annotation.map.stem}.cxc in ChimeraX, {annotation.map.stem}.pml in PyMOL"
        + (f", or {annotation.map.stem}_report.html in a browser" if html else "")
    )


def _look_first(report: "ResidueReport", stem: str, html: bool) -> str:
    """Return the verdicts in a line, and the stretches to look at first."""
    line = f"{report.source}: {report.line()}"
    if not report.stretches:
        return f"{line}; no stretch of three or more stands out"
    shown = [f"{rank:3}  {stretch}" for rank, stretch in enumerate(report.stretches[:_SHOWN], 1)]
    rest = len(report.stretches) - len(shown)
    rest_in = f"{stem}_report.html" if html else f"{stem}_summary.json"
    more = [f"     and {rest} more in {rest_in}"] if rest else []
    return "\n".join([f"{line}; look first at", *shown, *more])


def _complain(error: HaruspexError) -> None:
    typer.echo(f"{PROGRAM}: error: {error}", err=True)


if __name__ == "__main__":
    main()
