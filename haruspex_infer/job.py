"""What is done with a map from file to folder, wherever that happens: at once, or in a process of a batch."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruspex_infer import __version__
from haruspex_infer.annotator import Annotator
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, quoted, sole_use
from haruspex_infer.inputs import as_map, as_mask
from haruspex_infer.mapfile import stem_of
from haruspex_infer.stages import timed

if TYPE_CHECKING:
    from haruspex_infer.annotation import Annotation
    from haruspex_infer.compare import ResidueReport
    from haruspex_infer.plan import Plan
    from haruspex_infer.sweep import Progress

_SHOWN = 10


@dataclass(frozen=True)
class Settings:
    """What is to be done with a map; see the command line's options of these names."""

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

    def asked(self, path: Path, digest: str) -> dict[str, Any]:
        """Return, in plain values, what the results for a map depend on.

        The device is not among it, nor memory: they change results by no more than rounding and seams.

        Parameters
        ----------
        path : Path
            The map.
        digest : str
            Of the network.
        """
        return {
            "version": __version__,
            "network": digest,
            "map": _state(path),
            "voxel_size": self.voxel_size,
            "mask": _state(self.mask),
            "model": _state(self.model),
            "density_weighted": self.density_weighted,
            "elements": self.elements,
            "html": self.html,
        }


def _state(path: Path | None) -> list[Any] | None:
    """Tell a file from another of its name: by size and time, since reading it would take as long as work."""
    if path is None:
        return None
    with suppress(OSError):
        state = path.stat()
        return [str(path.absolute()), state.st_size, state.st_mtime_ns]
    return [str(path.absolute())]


def finished(folder: Path, path: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of earlier results for a map if they are whole and what is asked for, or None."""
    try:
        summary = read_summary(folder, path)
        whole = all((folder / name).is_file() for name in summary["files"])
        return summary if whole and summary["asked"] == asked else None
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or none of this version
        return None


def read_summary(folder: Path, path: Path) -> dict[str, Any]:
    """Return the summary of the results for a map."""
    return dict(json.loads((folder / f"{stem_of(path)}_summary.json").read_text(encoding="utf-8")))


def annotate_map(
    annotator: Annotator,
    path: Path,
    folder: Path,
    settings: Settings,
    tell: Callable[[str], None],
    progress: "Progress | None" = None,
) -> list[str]:
    """Annotate a map and write all that is asked for to a folder.

    Parameters
    ----------
    annotator : Annotator
        The network of the settings on their device.
    path : Path
        The map.
    folder : Path
        Made if need be; removed again if nothing comes of it.
    settings : Settings
    tell : callable
        Called with what there is to say on the way, line by line.
    progress : callable, optional
        Called with the number of tiles done and their total.

    Returns
    -------
    list of str
        The result in lines.

    Raises
    ------
    HaruspexError
        If anything about the input, the folder, the network or the device is wrong.
    """
    quoted(str(path.absolute()))  # told before the work
    made_here = not folder.exists()
    try:
        plan = _find(annotator, path, settings)
        prepare_folder(folder)
        with sole_use(folder):
            return _annotate_into(folder, annotator, path, plan, settings, tell, progress)
    except HaruspexError:
        if made_here:
            with suppress(OSError):  # nobody looks for results in a folder that is not there
                folder.rmdir()
        raise


def _find(annotator: Annotator, path: Path, settings: Settings) -> "Plan":
    """Read a map and find the molecule in it."""
    seconds: dict[str, float] = {}
    with timed(seconds, "read"):
        map_ = as_map(path, settings.voxel_size)
        where = None if settings.mask is None else as_mask(settings.mask, map_)
    if settings.model is not None:  # told before the work
        from haruspex_infer.placement import refuse_misplaced
        from haruspex_infer.structure import read_structure

        refuse_misplaced(read_structure(settings.model), map_.grid, str(settings.model))
    found = annotator.find(map_, where)
    return replace(found, seconds=seconds | found.seconds)


def _annotate_into(
    folder: Path,
    annotator: Annotator,
    path: Path,
    found: "Plan",
    settings: Settings,
    tell: Callable[[str], None],
    progress: "Progress | None",
) -> list[str]:
    plan = annotator.lay(found)
    tell(f"{path.name}: {annotator.line()}, {plan.line()}")
    if plan.mask is not None:
        tell(f"{path.name}: the mask keeps {plan.mask.mean():.1%} of the voxels")
    for warning in plan.warnings:
        tell(f"{path.name}: note: {warning}")
    asked = settings.asked(path, annotator.digest)
    annotation = annotator.run(plan, progress)
    annotation.report["asked"] = asked
    report = None if settings.model is None else annotation.compare(settings.model)
    elements = None
    if settings.elements:
        from haruspex_infer.findelements import find_elements

        elements = find_elements(annotation)
        tell(f"{path.name}: {elements.line()}")
    earlier = _earlier_files(folder, path)
    written = annotation.save(
        folder,
        report=report,
        elements=elements,
        density_weighted=settings.density_weighted,
        html=settings.html,
        command=settings.command,
    )
    if left := earlier - {file.name for file in written}:
        tell(f"{path.name}: note: {', '.join(sorted(left))} in {folder} are left from an earlier run")
    lines = [_result(annotation, folder, settings.html)]
    if report is not None:
        for note in report.notes:
            tell(f"{path.name}: note: {note}")
        lines += _look_first(report, annotation.map.stem, settings.html)
    return lines


def _earlier_files(folder: Path, path: Path) -> set[str]:
    """Return the files that an earlier run wrote for a map and that are still there."""
    try:
        return {name for name in read_summary(folder, path)["files"] if (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or none of this version
        return set()


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


def _look_first(report: "ResidueReport", stem: str, html: bool) -> list[str]:
    """Return the verdicts in a line, and the stretches to look at first."""
    line = f"{report.source}: {report.line()}"
    if not report.stretches:
        return [f"{line}; no stretch of three or more stands out"]
    shown = [f"{rank:3}  {stretch}" for rank, stretch in enumerate(report.stretches[:_SHOWN], 1)]
    rest = len(report.stretches) - len(shown)
    rest_in = f"{stem}_report.html" if html else f"{stem}_summary.json"
    more = [f"     and {rest} more in {rest_in}"] if rest else []
    return [f"{line}; look first at", *shown, *more]
