"""Where the archives are, what the EMDB says of an entry, and which entries are wanted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from haruspex_infer.errors import HaruspexError

_RIBOSOME = re.compile(r"ribosom|\b[3-8]0S\b|polysome|\b[LS]SU\b", re.IGNORECASE)
ENTRY = re.compile(r"EMD-\d+", re.ASCII)
_MODEL = re.compile(r"[0-9a-z]{4}|pdb_[0-9a-z]{8}", re.ASCII)
EXCLUSIONS = ("virus", "ribosome", "helical", "tomography")
_SINGLE_PARTICLE = "singleparticle"
_TOMOGRAPHY = ("tomography", "subtomogramaveraging")


@dataclass(frozen=True)
class Hosts:
    """Where the archives are: URLs, or folders that mirror their trees.

    Attributes
    ----------
    search : str
        The EMDB's search; not asked where `maps` is a folder, whose headers tell the same.
    maps : str
        Beginning of the EMDB's tree (``structures/EMD-…``).
    models : str
        Beginning of the PDB's tree (``data/structures/divided/mmCIF`` and ``validation_reports``).
    """

    search: str = "https://www.ebi.ac.uk/emdb/api/search"
    maps: str = "https://ftp.ebi.ac.uk/pub/databases/emdb"
    models: str = "https://files.wwpdb.org/pub/pdb"


@dataclass(frozen=True)
class Entry:
    """One entry of the EMDB, from its header file.

    Attributes
    ----------
    name : str
        Accession code, such as ``EMD-11007``.
    title, sample : str
        Title of the entry and name of the sample.
    authors : tuple of str
        In the order of the entry.
    released : date or None
        When the map was released.
    method : str
        In lower case, such as ``singleparticle``.
    resolution : float or None
        Å.
    pdb_ids : tuple of str
        Models, in lower case.
    kinds : tuple of str
        ``virus``, ``ribosome``, ``helical``, ``tomography``: what it is of `EXCLUSIONS`.
    contour : float or None
        Level of the primary contour, in the map's units.
    """

    name: str
    title: str
    sample: str
    authors: tuple[str, ...]
    released: date | None
    method: str
    resolution: float | None
    pdb_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    contour: float | None


@dataclass(frozen=True)
class Wanted:
    """Which entries to fetch (Mostosi et al. 2020, Training Data).

    Attributes
    ----------
    best, worst : float
        Bounds of the resolution, Å, both included.
    since, until : date or None
        First and last day of release.
    without : tuple of str
        Kinds to leave out, of `EXCLUSIONS`.
    """

    best: float = 0.0
    worst: float = 4.0
    since: date | None = None
    until: date | None = None
    without: tuple[str, ...] = EXCLUSIONS

    def query(self) -> str:
        """Return the query that brings the candidates from the EMDB's search; `reason` has the last word."""
        terms = [
            'current_status:"REL"',
            'structure_determination_method:"singleParticle"',
            f"resolution:[{self.best:g} TO {self.worst:g}]",
            'xref_links:"pdb"',
        ]
        if self.since or self.until:
            since = f"{self.since}T00:00:00Z" if self.since else "*"
            until = f"{self.until}T23:59:59Z" if self.until else "*"
            terms.append(f"release_date:[{since} TO {until}]")
        return " AND ".join(terms)

    def reason(self, entry: Entry) -> str:
        """Return why an entry is not wanted, or an empty text if it is."""
        kinds = [kind for kind in entry.kinds if kind in self.without]
        if kinds:
            return " and ".join(kinds)
        if entry.method != _SINGLE_PARTICLE and not entry.kinds:
            return f"method is {entry.method or 'not stated'}"
        if entry.resolution is None:
            return "no resolution"
        if not self.best <= entry.resolution <= self.worst:
            return f"resolution is {entry.resolution:g} Å"
        if not entry.pdb_ids:
            return "no model"
        if entry.released is None:
            return "not released"
        if (self.since and entry.released < self.since) or (self.until and entry.released > self.until):
            return f"released {entry.released}"
        return ""


def read_header(path: Path) -> Entry:
    """Read the header of an entry (EMDB XML, version 3).

    Raises
    ------
    HaruspexError
        If it is no such file.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ParseError, DefusedXmlException) as fault:
        raise HaruspexError(f"{path} cannot be read as an EMDB header: {fault}.") from fault
    name = root.get("emdb_id") or ""
    # names become folders and files here: what is no accession code is not believed
    if root.tag != "emd" or not ENTRY.fullmatch(name):
        raise HaruspexError(f"{path} is not an EMDB header of version 3.")
    title, sample = _text(root, "admin/title"), _text(root, "sample/name")
    method = _text(root, "structure_determination_list/structure_determination/method").lower()
    released = _text(root, "admin/key_dates/map_release")
    contours = root.findall("map/contour_list/contour")
    primary = [c for c in contours if c.get("primary") == "true"] or contours
    return Entry(
        name=name,
        title=title,
        sample=sample,
        authors=tuple(a.text.strip() for a in root.iterfind("admin/authors_list/author") if a.text),
        released=date.fromisoformat(released[:10]) if released else None,
        method=method,
        resolution=_number(root.find(".//final_reconstruction/resolution")),
        pdb_ids=tuple(
            dict.fromkeys(
                p.text.strip().lower()
                for p in root.iterfind("crossreferences/pdb_list/pdb_reference/pdb_id")
                if p.text and _MODEL.fullmatch(p.text.strip().lower())
            )
        ),
        kinds=tuple(_kinds(root, f"{title} {sample}", method)),
        contour=_number(primary[0].find("level")) if primary else None,
    )


def _kinds(root: Element, words: str, method: str) -> Iterator[str]:
    if root.find(".//virus_supramolecule") is not None:
        yield "virus"
    if _RIBOSOME.search(words):
        yield "ribosome"
    aggregation = _text(root, "structure_determination_list/structure_determination/aggregation_state")
    if method == "helical" or aggregation.lower() in ("filament", "helicalarray"):
        yield "helical"
    if method in _TOMOGRAPHY:
        yield "tomography"


def header_name(entry: str) -> str:
    """Path of an entry's header in the archive."""
    return f"structures/{entry}/header/emd-{entry.removeprefix('EMD-')}.xml"


def map_name(entry: str) -> str:
    """Path of an entry's map in the archive."""
    return f"structures/{entry}/map/emd_{entry.removeprefix('EMD-')}.map.gz"


def model_name(pdb_id: str) -> str:
    """Path of a model in the PDB's archive."""
    return f"data/structures/divided/mmCIF/{pdb_id[1:3]}/{pdb_id}.cif.gz"


def validation_name(pdb_id: str) -> str:
    """Path of a model's validation data in the PDB's archive."""
    return f"validation_reports/{pdb_id[1:3]}/{pdb_id}/{pdb_id}_validation.xml.gz"


def _text(root: Element, path: str) -> str:
    return (root.findtext(path) or "").strip()


def _number(element: Element | None) -> float | None:
    try:
        return float(element.text or "") if element is not None else None
    except ValueError:
        return None
