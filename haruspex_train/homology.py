"""Which entries hold related proteins, told from local alignments of their sequences.

Smith-Waterman with BLOSUM62 and gaps of 11 + 1, as BLAST scores them, by parasail (Daily 2016, BMC
Bioinformatics 17:81).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from haruspex_infer.resources import available_cores

SIGNIFICANT = 100
"""Score from which an alignment is no chance: 43 bits, 0.001 expected among 10⁷ residues."""

ALIKE = 0.3
"""Identical residues, as a share of the shorter sequence, from which two sequences are one protein's."""

RELATED = 0.25
"""Identical residues, as a share of an aligned stretch, from which two sequences share a domain. Under 30 %,
so that the gaps of an alignment do not hide a homologue of 30 %."""

DOMAIN = 50
"""Residues that this stretch must have, where the shorter sequence has twice as many."""

SHORTEST = 30
"""Residues under which a sequence says nothing."""

_OPEN, _EXTEND = 11, 1


@dataclass(frozen=True)
class Alignment:
    """The best local alignment of two sequences.

    Attributes
    ----------
    identical : int
        Identical residues; 0 where the score is not significant.
    length : int
        Columns, gaps included.
    """

    identical: int
    length: int


class Query:
    """A sequence to compare with many others.

    Parameters
    ----------
    sequence : str
        One-letter codes.
    """

    def __init__(self, sequence: str) -> None:
        # imported where sequences are compared: training runs without it
        import parasail

        self.sequence, self._parasail = sequence, parasail
        self._profile = parasail.profile_create_sat(sequence, parasail.blosum62)

    def align(self, other: str) -> Alignment:
        """Align with another sequence."""
        score = self._parasail.sw_striped_profile_sat(self._profile, other, _OPEN, _EXTEND).score
        if score < SIGNIFICANT:
            return Alignment(0, 0)
        found = self._parasail.sw_stats_striped_sat(
            self.sequence, other, _OPEN, _EXTEND, self._parasail.blosum62
        )
        return Alignment(found.matches, found.length)

    def alike(self, other: str) -> bool:
        """Whether both are versions of one protein."""
        return self.align(other).identical >= ALIKE * min(len(self.sequence), len(other))

    def related(self, other: str) -> bool:
        """Whether both share a domain."""
        found = self.align(other)
        enough = min(DOMAIN, min(len(self.sequence), len(other)) / 2)
        return found.length >= enough and found.identical >= RELATED * found.length


def clusters(sequences: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Put all sequences into clusters: each joins the first longer one that it is like.

    Parameters
    ----------
    sequences : mapping
        Sequences of every entry.

    Returns
    -------
    dict
        Clusters of every entry, ascending; none for an entry without a sequence of `SHORTEST` residues. The
        order of the entries makes no difference.
    """
    first: list[str] = []
    cluster: dict[str, int] = {}
    for sequence in sorted(_distinct(sequences), key=lambda s: (-len(s), s)):
        query = Query(sequence)
        found = next((number for number, longest in enumerate(first) if query.alike(longest)), None)
        if found is None:
            found = len(first)
            first.append(sequence)
        cluster[sequence] = found
    return {
        name: tuple(sorted({cluster[s] for s in several if s in cluster}))
        for name, several in sequences.items()
    }


def homologues(entries: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Find the entries that share a domain with one of the others.

    Every sequence is compared with every other one: clusters would hide a domain that two long proteins of
    different clusters have in common.

    Parameters
    ----------
    entries, others : mapping
        Sequences of every entry.

    Returns
    -------
    dict
        For each entry that has homologues, the first of them by name.
    """
    targets = sorted(_distinct(others))
    sources = sorted(_distinct(entries))

    def related(sequence: str) -> set[str]:
        query = Query(sequence)
        return {target for target in targets if query.related(target)}

    # the aligning is done outside Python's lock
    with ThreadPoolExecutor(available_cores()) as pool:
        found = dict(zip(sources, pool.map(related, sources), strict=True))
    holders: dict[str, str] = {}
    for name in sorted(others, reverse=True):
        holders |= dict.fromkeys(others[name], name)
    result = {}
    for name, several in entries.items():
        names = {holders[target] for s in several for target in found.get(s, ())}
        if names:
            result[name] = min(names)
    return result


def _distinct(sequences: Mapping[str, Sequence[str]]) -> set[str]:
    return {s for several in sequences.values() for s in several if len(s) >= SHORTEST}
