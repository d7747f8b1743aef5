"""Which entries hold related proteins."""

from collections.abc import Mapping, Sequence

RELATED = 0.3
"""Identical residues, as a share of the shorter sequence, from which two sequences are related."""

SHORTEST = 30
"""Residues under which a sequence says nothing."""


def identity(one: str, other: str) -> float:
    """Share of the shorter sequence that is identical in the best global alignment (BLOSUM62)."""
    import gemmi

    found = gemmi.align_string_sequences(list(one), list(other), [], gemmi.AlignmentScoring("b"))
    return found.match_count / min(len(one), len(other))


def clusters(sequences: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Put all sequences into clusters: each joins the first longer one that it is related to.

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
    distinct = {s for several in sequences.values() for s in several if len(s) >= SHORTEST}
    first: list[str] = []
    cluster: dict[str, int] = {}
    for sequence in sorted(distinct, key=lambda s: (-len(s), s)):
        for number, longest in enumerate(first):
            if identity(sequence, longest) >= RELATED:
                cluster[sequence] = number
                break
        else:
            cluster[sequence] = len(first)
            first.append(sequence)
    return {
        name: tuple(sorted({cluster[s] for s in several if s in cluster}))
        for name, several in sequences.items()
    }
