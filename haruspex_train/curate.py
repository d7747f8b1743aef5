"""Which pairs of map and model can be believed: figures in place of eyes.

Mostosi et al. 2020, Training Data: good fit, at least one helix or strand, one entry per authors and complex.
The limits were chosen on ten pairs of the split ``val`` and on copies of them that were shifted by 3 to 6 Å
or mirrored; no ``test`` pair had a say.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from haruspex_infer.files import written_whole
from haruspex_infer.mapfile import read_map
from haruspex_infer.scheduling import ONE_PROCESS, Machines
from haruspex_train.candidates import Candidate, Progress, read_candidates, recorded
from haruspex_train.copies import read_model
from haruspex_train.fit import LEAST_FITTED
from haruspex_train.gallery import write_gallery
from haruspex_train.homology import clusters, homologues
from haruspex_train.measure import Measures, archive_scores, measure_fit, sequences
from haruspex_train.secondary import residue_classes
from haruspex_train.slices import central_slices
from haruspex_train.tables import write_table

LEAST_IN_MAP = 0.9
"""Share of the backbone that lies in the map."""

LEAST_INCLUSION = 0.5
"""Share of the backbone at 1 σ or more; val pairs 0.62-1.00."""

LEAST_CORRELATION = 0.42
"""Correlation near the model; val pairs 0.47-0.78, shifted and mirrored copies up to 0.38."""

MOST_DISPLACED = 1.5
"""Å to a better place; val pairs 0, shifted copies 2.3-6.4."""

LEAST_EXPLAINED = 0.02
"""Share of the map's strong density that is modelled. One subunit of 24 is enough: what is not modelled is
ignored in training. Less is a fragment whose surroundings nobody can tell."""

WRONG_HAND = -2.5
"""Preference for the right hand in standard errors, of helices and of side chains
together, under which a map is mirrored; val pairs 7 to 61."""

SAME_AUTHORS = 0.5
"""Share of common authors, of all of two entries, from which they are the same group's."""

COLUMNS = (
    "id", "split", "pdb", "resolution_A", "verdict", "reason",
    *(field.name for field in fields(Measures)), "clusters",
)  # fmt: skip

# a change of the measuring makes old figures void
_VERSION = 4


@dataclass(frozen=True)
class Judged:
    """A candidate with its figures, or with the fault that kept it from being measured."""

    candidate: Candidate
    measures: Measures | None
    sequences: tuple[str, ...]
    fault: str = ""


def curate(
    folder: Path,
    out: Path,
    machines: Machines = ONE_PROCESS,
    progress: Progress | None = None,
) -> list[dict[str, str]]:
    """Measure and judge all pairs of a folder.

    The figures of every pair go to a file of their own, and those of a run that was killed are used again;
    at the end ``MANIFEST.tsv`` has every figure, the verdict and the reasons; ``gallery.html`` shows them.

    Parameters
    ----------
    folder : Path
        Folder with ``INDEX.tsv``; see `haruspex_train.pairs` and `haruspex_train.archive`.
    out : Path
        Folder for the figures and the manifest.
    machines : Machines
    progress : callable, optional

    Returns
    -------
    list of dict
        The manifest's rows.

    Raises
    ------
    HaruspexError
        If the index cannot be read or the output not be written.
    """
    candidates = list(read_candidates(folder))
    work = partial(_measured, out=out.absolute())
    records = recorded(work, candidates, out / "figures", _VERSION, machines, progress)
    rows = manifest(_judged(*both) for both in zip(candidates, records, strict=True))
    write_table(out / "MANIFEST.tsv", COLUMNS, rows)
    write_gallery(out / "gallery.html", rows, lambda name: picture_path(out, name))
    return rows


def picture_path(out: Path, name: str) -> Path:
    """Where the slices of an entry lie."""
    return out / "figures" / f"{name}.webp"


def manifest(judged: Iterable[Judged]) -> list[dict[str, str]]:
    """Judge the pairs, each by its figures and all by what they share.

    Returns
    -------
    list of dict
        One row for each pair, by name.
    """
    everyone = sorted(judged, key=lambda one: one.candidate.name)
    related = clusters({one.candidate.name: one.sequences for one in everyone})
    reasons = {one.candidate.name: misfits(one) for one in everyone}
    good = [one for one in everyone if not reasons[one.candidate.name]]
    for one, better in repeated(good, related):
        reasons[one.candidate.name].append(f"same authors and complex as {better}")
    of_train, of_test = (
        {one.candidate.name: one.sequences for one in everyone if one.candidate.pair.split == split}
        for split in ("train", "test")
    )
    for name, homologue in homologues(of_train, of_test).items():
        reasons[name].append(f"homologue of the test entry {homologue}")
    return [_row(one, reasons[one.candidate.name], related) for one in everyone]


def misfits(one: Judged) -> list[str]:
    """Return every reason why a pair cannot be believed by its own figures.

    Parameters
    ----------
    one : Judged
        The pair with its figures.

    Returns
    -------
    list of str
        Reasons; none for a pair to keep.
    """
    found = one.measures
    if found is None:
        return [one.fault]
    if not found.helix + found.strand + found.nucleotide:
        return ["no helix, strand or nucleotide"]
    if found.in_map < LEAST_IN_MAP:
        return [f"{1 - found.in_map:.0%} of the model lies outside the map"]
    hand = float(np.nansum([found.helix_hand, found.side_hand]))
    reasons = {
        f"only {found.inclusion:.0%} of the backbone in density": found.inclusion < LEAST_INCLUSION,
        f"correlation {found.correlation:.2f}": not found.correlation >= LEAST_CORRELATION,
        f"only {found.fitted:.0%} of the residues fit": not found.fitted >= LEAST_FITTED,
        f"fits better {found.displacement:.1f} Å away": found.displacement > MOST_DISPLACED,
        f"only {found.explained:.1%} of the density modelled": found.explained < LEAST_EXPLAINED,
        f"mirrored: prefers the left hand by {-hand:.1f} standard errors": hand < WRONG_HAND,
    }
    return [reason for reason, applies in reasons.items() if applies]


def repeated(good: Iterable[Judged], related: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[Judged, str]]:
    """Yield the pairs of which the same authors have a better one of the same complex, and its name.

    The complex is the same where the proteins fall into the same clusters, or where there are none, the
    sample's name is the same. Best is the highest resolution, then the name.

    Parameters
    ----------
    good : iterable of Judged
        Pairs that can be believed.
    related : mapping
        Clusters of the proteins of each entry.

    Yields
    ------
    pair : Judged
        The one to drop.
    better : str
        Name of the entry that stays.
    """
    kept: list[Judged] = []
    for one in sorted(good, key=lambda j: (j.candidate.pair.resolution, j.candidate.name)):
        better = next((k for k in kept if _same_complex(one, k, related) and _same_authors(one, k)), None)
        if better is None:
            kept.append(one)
        else:
            yield one, better.candidate.name


def _same_complex(one: Judged, other: Judged, related: Mapping[str, tuple[int, ...]]) -> bool:
    a, b = related[one.candidate.name], related[other.candidate.name]
    if a or b:
        return a == b
    return bool(one.candidate.sample) and one.candidate.sample.lower() == other.candidate.sample.lower()


def _same_authors(one: Judged, other: Judged) -> bool:
    a, b = set(one.candidate.authors), set(other.candidate.authors)
    return bool(a | b) and len(a & b) / len(a | b) >= SAME_AUTHORS


def _measured(candidate: Candidate, out: Path) -> dict[str, Any]:
    inclusion, q_score = archive_scores(candidate.validation)
    density_map = read_map(candidate.pair.map_path)
    model = read_model(candidate.pair.model_paths, density_map)
    classes = residue_classes(model.structure)
    fit = measure_fit(density_map, model.structure, classes, candidate.pair.resolution, candidate.contour)
    measures = replace(
        fit,
        archive_inclusion=inclusion,
        archive_q=q_score,
        copies=model.copies,
        copies_refused=model.refused,
    )
    picture = picture_path(out, candidate.name)
    with written_whole(picture) as stream:
        stream.write(central_slices(density_map, model.structure, classes))
    return {
        "files": [str(picture)],
        "measures": asdict(measures),
        "sequences": sequences(model.structure),
    }


def _judged(candidate: Candidate, record: dict[str, Any]) -> Judged:
    if record["fault"]:
        return Judged(candidate, None, (), record["fault"])
    return Judged(candidate, Measures(**record["measures"]), tuple(record["sequences"]))


def _row(one: Judged, reasons: list[str], related: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    pair = one.candidate.pair
    figures = {} if one.measures is None else asdict(one.measures)
    return {
        "id": pair.name,
        "split": pair.split,
        "pdb": pair.pdb_id,
        "resolution_A": f"{pair.resolution:g}",
        "verdict": "drop" if reasons else "keep",
        "reason": "; ".join(reasons),
        **{field.name: _shown(figures.get(field.name)) for field in fields(Measures)},
        "clusters": " ".join(map(str, related[pair.name])),
    }


def _shown(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
