"""Pairs of map and model with what the archive says of them, and records of what was done with each."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from haruspex_infer.errors import CannotWriteError, HaruspexError
from haruspex_infer.files import prepare_folder, sole_use, write_text
from haruspex_infer.scheduling import ONE_PROCESS, Machines, spread
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.tables import read_table

Progress = Callable[[int, int, str], None]
"""Called with the number of pairs done, of all, and the name of the last one."""


@dataclass(frozen=True)
class Candidate:
    """A pair with what the archive says of it.

    Attributes
    ----------
    pair : Pair
    authors : tuple of str
    sample : str
        Name of the sample.
    contour : float or None
        Recommended contour, in the map's units.
    validation : Path or None
        The archive's validation data (XML, gzipped).
    """

    pair: Pair
    authors: tuple[str, ...] = ()
    sample: str = ""
    contour: float | None = None
    validation: Path | None = None

    @property
    def name(self) -> str:
        """Name of the entry."""
        return self.pair.name


def read_candidates(folder: Path) -> Iterator[Candidate]:
    """Read all splits of a folder of pairs, with what its index says beyond `haruspex_train.pairs`.

    Raises
    ------
    HaruspexError
        If the index cannot be read.
    """
    # the processes of a cluster start in folders of their own
    folder = folder.absolute()
    rows = {row["id"]: row for row in read_table(folder / "INDEX.tsv") if row.get("id") and row.get("split")}
    if not rows:
        raise HaruspexError(f"{folder / 'INDEX.tsv'} lists no pairs.")
    for split in sorted({row["split"] for row in rows.values()}):
        for pair in read_pairs(folder, split):
            said = {key: value for key, value in rows[pair.name].items() if value not in (None, "", "-")}
            yield Candidate(
                pair=pair,
                authors=tuple(said["authors"].split("; ")) if "authors" in said else (),
                sample=said.get("sample", ""),
                contour=float(said["contour"]) if "contour" in said else None,
                validation=folder / said["validation"] if "validation" in said else None,
            )


def read_kept(folder: Path, manifest: Path | None) -> list[Candidate]:
    """Read the pairs that curation kept; all of them where there is no manifest.

    Raises
    ------
    HaruspexError
        If a table cannot be read, or nothing is kept.
    """
    candidates = list(read_candidates(folder))
    if manifest is None:
        return candidates
    kept = {row.get("id") for row in read_table(manifest) if row.get("verdict") == "keep"}
    chosen = [candidate for candidate in candidates if candidate.name in kept]
    if not chosen:
        raise HaruspexError(f"{manifest} keeps no pair of {folder}.")
    return chosen


def recorded(
    work: Callable[[Candidate], dict[str, Any]],
    candidates: Sequence[Candidate],
    folder: Path,
    version: object,
    machines: Machines = ONE_PROCESS,
    progress: Progress | None = None,
    source: Callable[[Candidate], Path] | None = None,
) -> list[dict[str, Any]]:
    """Do some work on every pair once, on one machine or many, however often the run is killed.

    What the work returns goes to a file of its own for each pair. It is believed by later runs as long as the
    pair's files, what the index says of it, and `version` are the same. A pair that has a fault is tried
    again by the next run.

    Parameters
    ----------
    work : callable
        Picklable; returns plain values, among them, as ``files``, the paths of what it wrote. A HaruspexError
        that it raises becomes the record's ``fault``.
    candidates : sequence of Candidate
    folder : Path
        Where the records go.
    version : object
        Plain values; changes when the work does.
    machines : Machines
        Where the work is done; each process works on one pair at a time.
    progress : callable, optional
    source : callable, optional
        Gives one more file that the work depends on.

    Returns
    -------
    list of dict
        What the work returned, with ``fault`` (empty where all went well), in the order of the candidates.

    Raises
    ------
    HaruspexError
        If something cannot be written, another run uses the folder, or the scheduler cannot be used.
    """
    prepare_folder(folder)
    with sole_use(folder):
        return _records(work, candidates, folder, version, machines, progress, source)


def _records(
    work: Callable[[Candidate], dict[str, Any]],
    candidates: Sequence[Candidate],
    folder: Path,
    version: object,
    machines: Machines,
    progress: Progress | None,
    source: Callable[[Candidate], Path] | None,
) -> list[dict[str, Any]]:
    inputs = {c.name: _inputs(c, version, source(c) if source else None) for c in candidates}
    missing = {c.name: c for c in candidates if not _done(c, folder, inputs[c.name])}
    lost = {}
    once = partial(_once, work, folder=folder.absolute())
    tasks = {name: (candidate, inputs[name]) for name, candidate in missing.items()}
    for done, outcome in enumerate(spread(once, tasks, machines), start=1):
        if outcome.fault:
            lost[outcome.name] = {"fault": outcome.fault}
        if progress is not None:
            progress(len(candidates) - len(missing) + done, len(candidates), outcome.name)
    return [lost.get(candidate.name) or _record(candidate, folder) for candidate in candidates]


def _done(candidate: Candidate, folder: Path, inputs: list[object]) -> bool:
    """Whether an earlier run went well, its record is still true, and what it wrote still there."""
    if not (folder / f"{candidate.name}.json").exists():
        return False
    record = _record(candidate, folder)
    # through JSON, which knows no tuples
    same = record["inputs"] == json.loads(json.dumps(inputs))
    return same and not record["fault"] and all(Path(file).exists() for file in record.get("files", ()))


def _once(
    work: Callable[[Candidate], dict[str, Any]],
    task: tuple[Candidate, list[object]],
    folder: Path,
) -> None:
    candidate, inputs = task
    try:
        result = work(candidate) | {"fault": ""}
    except CannotWriteError:  # no fault of the pair
        raise
    except HaruspexError as fault:
        result = {"fault": str(fault)}
    write_text(folder / f"{candidate.name}.json", json.dumps(result | {"inputs": inputs}, indent=1))


def _record(candidate: Candidate, folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / f"{candidate.name}.json").read_text()))


def _inputs(candidate: Candidate, version: object, source: Path | None) -> list[object]:
    """Tell what a record depends on: files by name, size and time, the index, and the work itself."""
    paths = [candidate.pair.map_path, *candidate.pair.model_paths]
    paths += [path for path in (candidate.validation, source) if path]
    states = [
        [str(path), path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else [str(path)]
        for path in paths
    ]
    return [version, candidate.pair.resolution, candidate.contour, *states]
