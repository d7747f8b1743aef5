"""Annotate cryo-EM maps voxel by voxel: helix, strand, nucleotide or other.

Each MAP (MRC or CCP4, plain, .gz or .bz2) gets probability maps of the four classes, a label map, a ChimeraX
script and a summary, on its own voxels. Without -o they go to STEM_haruspex/ in the current folder.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from haruspex_infer import __version__
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder

if TYPE_CHECKING:
    from haruspex_infer.annotation import Annotation
    from haruspex_infer.annotator import Annotator

PROGRAM = "haruspex-infer"
_WRONG_INPUT, _INTERRUPTED = 2, 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


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
        str, typer.Option(metavar="NAME|FILE", help="Network that ships with the program, or an ONNX file.")
    ] = "residual",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where the network runs.")
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
        failed = _annotate_all(_which_maps(maps, example), output, network, device, voxel_size, mask, quiet)
    except HaruspexError as error:
        _complain(error)
        failed = True
    except KeyboardInterrupt:
        typer.echo(f"{PROGRAM}: interrupted", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if failed:
        raise typer.Exit(_WRONG_INPUT)


def main() -> None:
    """Run the command line."""
    app()


def _which_maps(maps: list[Path] | None, example: bool) -> list[Path]:
    if example:
        if maps:
            raise HaruspexError("Give either maps or --example, not both.")
        from haruspex_infer.example import example_map

        return [example_map()]
    if not maps:
        raise HaruspexError(f"No map is given: name one, or try {PROGRAM} --example.")
    return maps


def _annotate_all(
    maps: list[Path],
    output: Path | None,
    network: str,
    device: str,
    voxel_size: float | None,
    mask: Path | None,
    quiet: bool,
) -> bool:
    """Annotate maps one after the other; return whether any could not be."""
    # ONNX Runtime takes its time to load, and --help needs none of it
    from haruspex_infer.annotator import Annotator

    folders = _folders(maps, output)
    annotator = Annotator(network, device)
    console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    failed = False
    for path, folder in folders.items():
        try:
            annotation = _annotate_one(annotator, path, folder, voxel_size, mask, console)
        except HaruspexError as error:
            _complain(error)
            failed = True
            continue
        if not quiet:
            typer.echo(_result(annotation, folder))
    return failed


def _folders(maps: list[Path], output: Path | None) -> dict[Path, Path]:
    """Return the output folder of each map."""
    from haruspex_infer.mapfile import stem_of

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
    annotator: "Annotator",
    path: Path,
    folder: Path,
    voxel_size: float | None,
    mask: Path | None,
    console: Console,
) -> "Annotation":
    from haruspex_infer.annotator import as_map, as_mask

    map_ = as_map(path, voxel_size)
    where = None if mask is None else as_mask(mask, map_)
    prepare_folder(folder)
    plan = annotator.plan(map_)
    console.print(f"{path.name}: {annotator.line()}, {plan.line()}", markup=False)
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
        annotation = annotator.annotate(
            map_, where, lambda done, total: bar.update(task, completed=done, total=total)
        )
    annotation.save(folder)
    return annotation


def _result(annotation: "Annotation", folder: Path) -> str:
    composition = annotation.composition
    shares = ", ".join(
        f"{name} {part['molecule_fraction']:.0%}" for name, part in composition.items() if name != "other"
    )
    total = sum(part["molecule_volume"] for part in composition.values())
    seconds = sum(annotation.report["seconds"].values())
    return (
        f"{folder}: {total:,.0f} Å³ of molecular density, {shares}; {seconds:.1f} s; "
        f"open {annotation.map.stem}.cxc in ChimeraX"
    )


def _complain(error: HaruspexError) -> None:
    typer.echo(f"{PROGRAM}: error: {error}", err=True)


if __name__ == "__main__":
    main()
