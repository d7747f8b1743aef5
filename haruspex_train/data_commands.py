"""The commands of ``haruspex`` that make ground truth out of the archives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from haruspex_infer.errors import HaruspexError
from haruspex_infer.scheduling import Machines
from haruspex_train.emdb import EXCLUSIONS, Hosts, Wanted

app = typer.Typer()

Pairs = Annotated[Path, typer.Argument(help="Folder of maps and models with INDEX.tsv.")]
Manifest = Annotated[
    Path | None, typer.Option(help="MANIFEST.tsv of 'haruspex curate': pairs it drops are left out.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes, each with one map; by default as many as cores.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786, whose workers do it."),
]

_DAY = ["%Y-%m-%d"]


@app.command()
def fetch(
    out: Annotated[Path, typer.Argument(help="Folder for the entries; an earlier run there goes on.")],
    best: Annotated[float, typer.Option(help="Best resolution, Å.")] = 0.0,
    worst: Annotated[float, typer.Option(help="Worst resolution, Å.")] = 4.0,
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="First day of release.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Last day of release.")] = None,
    test_from: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="Entries released from this day on test (the paper: 2018-02-16)."),
    ] = None,
    without: Annotated[
        str, typer.Option(metavar="KIND,…", help="What to leave out; '' for nothing.")
    ] = ",".join(EXCLUSIONS),
    entry: Annotated[
        list[str] | None, typer.Option(metavar="EMD-…", help="Entry to fetch, in place of a search.")
    ] = None,
    budget: Annotated[float | None, typer.Option(metavar="GB", help="What the folder may hold.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Files under way at once.")] = 4,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 5.0,
    search: Annotated[str, typer.Option(metavar="URL", help="The EMDB's search.")] = Hosts.search,
    maps: Annotated[str, typer.Option(metavar="URL|DIR", help="The EMDB's tree, or a mirror.")] = Hosts.maps,
    models: Annotated[
        str, typer.Option(metavar="URL|DIR", help="The PDB's tree, or a mirror.")
    ] = Hosts.models,
) -> None:
    """Fetch maps with their models, headers and validation data from EMDB and PDB."""
    from haruspex_train.archive import fetch_entries
    from haruspex_train.client import TransferSettings

    kinds = tuple(filter(None, without.split(",")))
    if unknown := set(kinds) - set(EXCLUSIONS):
        raise HaruspexError(
            f"--without does not know {', '.join(sorted(unknown))}; it knows {', '.join(EXCLUSIONS)}."
        )
    with _progress("fetching") as progress:
        fetched = fetch_entries(
            out,
            Wanted(best, worst, _day(since), _day(until), kinds),
            Hosts(search, maps, models),
            TransferSettings(
                connections=connections,
                per_second=rate,
                budget=None if budget is None else round(budget * 1e9),
            ),
            _day(test_from),
            entry,
            progress,
        )
    typer.echo(f"{out}: {len(fetched.kept)} entries, {len(fetched.dropped)} not wanted (DROPPED.tsv)")
    if fetched.failed:
        name, reason = next(iter(fetched.failed.items()))
        raise HaruspexError(f"{len(fetched.failed)} entries are missing, such as {name}: {reason}")


@app.command()
def curate(
    folder: Pairs,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the manifest; a run there goes on.")],
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Measure how well models and maps fit, and say which pairs to keep and why."""
    from haruspex_train.curate import curate as run

    with _progress("measuring") as progress:
        rows = run(folder, out, Machines(workers, scheduler), progress)
    kept = sum(row["verdict"] == "keep" for row in rows)
    typer.echo(f"{out / 'MANIFEST.tsv'}: {kept} of {len(rows)} pairs are kept")


@app.command()
def annotate(
    folder: Pairs,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the volumes; a run there goes on.")],
    manifest: Manifest = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the ground truth of maps with models, as volumes of class numbers (-1: ignore)."""
    from haruspex_train.annotate import annotate as run

    with _progress("annotating") as progress:
        rows = run(folder, out, manifest, Machines(workers, scheduler), progress)
    faults = [f"{row['id']}: {row['fault']}" for row in rows if row["fault"]]
    typer.echo(f"{out}: ground truth of {len(rows) - len(faults)} of {len(rows)} maps (TRUTH.tsv)")
    if faults:
        raise HaruspexError(f"{len(faults)} maps have no ground truth, such as {faults[0]}")


@app.command()
def segment(
    folder: Pairs,
    truth: Annotated[Path, typer.Argument(help="Folder of 'haruspex annotate'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the segments; a run there goes on.")],
    manifest: Manifest = None,
    split: Annotated[str, typer.Option(help="Which pairs; those of 'test' are never cut.")] = "train",
    annotated: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least share of a segment that is annotated.")
    ] = 0.05,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Cut training segments of 70 voxels out of annotated maps."""
    from haruspex_train.segments import Rules
    from haruspex_train.store import segment as run

    with _progress("cutting") as progress:
        machines = Machines(workers, scheduler)
        summary = run(folder, truth, out, manifest, split, Rules(annotated=annotated), machines, progress)
    typer.echo(
        f"{out}: {summary['segments']} segments of {summary['entries']} maps, {summary['training']} to train "
        f"on, out of {summary['candidates']} candidates (SEGMENTS.tsv, SEGMENTS.json)"
    )
    if summary["faults"]:
        name, fault = next(iter(summary["faults"].items()))
        raise HaruspexError(f"{len(summary['faults'])} maps have no segments, such as {name}: {fault}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on the terminal; elsewhere nothing."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
