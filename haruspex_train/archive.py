"""Maps, models and what the archives say of them, fetched from EMDB and PDB into a folder of pairs."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from multiprocessing.pool import ThreadPool
from pathlib import Path
from urllib.parse import quote

from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, sole_use, write_text
from haruspex_train.client import NotThereError, TransferSettings
from haruspex_train.emdb import (
    ENTRY,
    Entry,
    Hosts,
    Wanted,
    header_name,
    map_name,
    model_name,
    read_header,
    validation_name,
)
from haruspex_train.tables import write_table
from haruspex_train.transfer import Transfer

COLUMNS = (
    "id", "split", "pdb", "resolution_A", "masked", "map", "models", "note",
    "released", "authors", "sample", "contour", "validation",
)  # fmt: skip
"""Columns of ``INDEX.tsv``; `haruspex_train.pairs` reads the first eight."""

_ROWS = 1000
_RECORD = "entry.json"


@dataclass(frozen=True)
class Fetched:
    """What became of the entries of one run: names, and reasons where there is something to say."""

    kept: tuple[str, ...]
    dropped: dict[str, str]
    failed: dict[str, str]


def fetch_entries(
    folder: Path,
    wanted: Wanted,
    hosts: Hosts,
    settings: TransferSettings,
    test_from: date | None = None,
    entries: Iterable[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fetched:
    """Fetch all wanted entries; run again, it goes on where it was killed.

    Every entry has its own folder with header, map, model (mmCIF) and the archive's validation data. When
    all its files are there, ``entry.json`` says so, and the entry is not asked for again. At the end
    ``INDEX.tsv`` lists all pairs, ``DROPPED.tsv`` the other entries with the reason.

    Parameters
    ----------
    folder : Path
        Where to collect them.
    wanted : Wanted
        Which entries.
    hosts : Hosts
    settings : TransferSettings
    test_from : date, optional
        Entries released from this day on get the split ``test``, all others ``train``.
    entries : iterable of str, optional
        Accession codes to fetch in place of a search.
    progress : callable, optional
        Called with the number of entries done, of all, and the name of the last one.

    Returns
    -------
    Fetched

    Raises
    ------
    HaruspexError
        If the search fails, or the folder cannot be written to or is in use.
    """
    for base in (hosts.maps, hosts.models):
        if "://" not in base and len(base.split()) != 1:
            raise HaruspexError(f"The index cannot hold a path with blanks, '{base}': rename the folder.")
    prepare_folder(folder)
    transfer = Transfer(folder, settings)
    names = sorted(set(entries) if entries is not None else candidates(wanted, hosts, transfer), key=_number)
    rows: dict[str, dict[str, str]] = {}
    dropped: dict[str, str] = {}
    failed: dict[str, str] = {}

    def tried(name: str) -> tuple[str, dict[str, str] | str | HaruspexError]:
        try:
            return name, _fetch(name, folder, wanted, hosts, transfer)
        except HaruspexError as fault:
            return name, fault

    # nobody waits for its threads in the end: the next run goes on with what has arrived of a file
    with sole_use(folder), ThreadPool(settings.connections) as pool:
        for done, (name, outcome) in enumerate(pool.imap_unordered(tried, names), start=1):
            if isinstance(outcome, dict):
                rows[name] = outcome
            elif isinstance(outcome, str | NotThereError):
                dropped[name] = str(outcome)
            else:
                failed[name] = str(outcome)
            if progress is not None:
                progress(done, len(names), name)
    for row in rows.values():
        later = test_from is not None and date.fromisoformat(row["released"]) >= test_from
        row["split"] = "test" if later else "train"
    write_table(folder / "INDEX.tsv", COLUMNS, [rows[name] for name in sorted(rows, key=_number)])
    reasons = [(name, reason) for table in (dropped, failed) for name, reason in table.items()]
    reasons.sort(key=lambda item: _number(item[0]))
    write_table(
        folder / "DROPPED.tsv", ("id", "reason"), [{"id": name, "reason": text} for name, text in reasons]
    )
    return Fetched(tuple(sorted(rows, key=_number)), dropped, failed)


def candidates(wanted: Wanted, hosts: Hosts, transfer: Transfer) -> list[str]:
    """Return the entries that may be wanted: what the search finds, or all of a mirror.

    Raises
    ------
    HaruspexError
        If the search fails, its answer is no table, or the mirror holds no entry.
    """
    if "://" not in hosts.maps:
        names = sorted(path.name for path in Path(hosts.maps).glob("structures/EMD-*"))
        if not names:
            raise HaruspexError(f"{hosts.maps} holds no structures/EMD-…: name the root of a mirror of EMDB.")
        return names
    names = []
    page = 1
    while True:
        url = f"{hosts.search.rstrip('/')}/{quote(wanted.query(), safe='')}"
        text = transfer.client.text(f"{url}?rows={_ROWS}&page={page}&wt=csv&fl=emdb_id", "text/csv")
        lines = text.split()
        if lines and lines[0] != "emdb_id":
            raise HaruspexError(
                f"{hosts.search} does not answer with a table of EMDB ids; check the address."
            )
        found = lines[1:]
        if not all(ENTRY.fullmatch(name) for name in found):
            raise HaruspexError(f"{hosts.search} answers with what is no EMDB id; check the address.")
        names += found
        if len(lines) <= _ROWS:
            return names
        page += 1


def _fetch(name: str, folder: Path, wanted: Wanted, hosts: Hosts, transfer: Transfer) -> dict[str, str] | str:
    """Have all files of an entry; return its row of the index, or why it is not wanted."""
    own = folder / name
    record = own / _RECORD
    header = transfer.obtain(hosts.maps, header_name(name), own, check=read_header)
    entry = read_header(header)
    if entry.name != name:
        raise HaruspexError(f"{header} is the header of {entry.name}, not of {name}; fetch it again.")
    if reason := wanted.reason(entry):
        return reason
    if record.exists():
        return dict(json.loads(record.read_text()))
    pdb_id = entry.pdb_ids[0]
    model = transfer.obtain(hosts.models, model_name(pdb_id), own)
    try:
        validation = _shown(transfer.obtain(hosts.models, validation_name(pdb_id), own), folder)
    except NotThereError:
        validation = "-"
    density = transfer.obtain(hosts.maps, map_name(name), own)
    row = _row(entry, _shown(density, folder), _shown(model, folder), validation)
    own.mkdir(exist_ok=True)
    write_text(record, json.dumps(row, indent=1))
    return row


def _row(entry: Entry, density: str, model: str, validation: str) -> dict[str, str]:
    others = f"other models: {' '.join(entry.pdb_ids[1:])}" if len(entry.pdb_ids) > 1 else ""
    return {
        "id": entry.name,
        "pdb": entry.pdb_ids[0].upper(),
        "resolution_A": f"{entry.resolution:g}",
        "masked": "-",
        "map": density,
        "models": model,
        "note": "; ".join(filter(None, (entry.title, others))),
        "released": str(entry.released),
        "authors": "; ".join(entry.authors),
        "sample": entry.sample,
        "contour": "-" if entry.contour is None else f"{entry.contour:g}",
        "validation": validation,
    }


def _shown(path: Path, folder: Path) -> str:
    """Return a path as the index gives it: from the folder, or whole for files of a mirror."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, name)
