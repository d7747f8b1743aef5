"""Figures of the report as SVG; their text and lines take the colours of the page."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _FOOT, _GAP = 520.0, 170.0, 24.0, 2.0


def share_bar(parts: Sequence[tuple[str, str, float]], label: str) -> str:
    """Draw shares side by side.

    Parameters
    ----------
    parts : sequence of (name, colour, share)
        Shares from 0 to 1.
    label : str
        What a screen reader says.
    """
    left, drawn = 0.0, []
    for name, colour, share in parts:
        width = 1000 * share
        drawn.append(
            f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="20" fill="{colour}">'
            f"<title>{escape(name)} {share:.1%}</title></rect>"
        )
        left += width
    return (
        f'<svg class="bar" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(drawn)}</svg>'
    )


def histogram(counts: NDArray[np.integer], colours: Sequence[str], names: Sequence[str], label: str) -> str:
    """Draw a histogram of probabilities from 0.25 to 1, with the classes on top of each other.

    Parameters
    ----------
    counts : ndarray, shape (classes, bins)
        The lowest class first.
    colours, names : sequence of str
        Of the classes.
    label : str
        What a screen reader says.
    """
    bins = counts.shape[1]
    highest = max(1, int(counts.sum(axis=0).max()))
    column = _WIDTH / bins
    parts = []
    for place in range(bins):
        top = _HEIGHT
        said = _bin_title(counts[:, place], names, place / bins, (place + 1) / bins)
        drawn = []
        for number, colour in enumerate(colours):
            height = _HEIGHT * counts[number, place] / highest
            top -= height
            drawn.append(
                f'<rect x="{place * column + _GAP / 2:.1f}" y="{top:.1f}" width="{column - _GAP:.1f}" '
                f'height="{height:.1f}" fill="{colour}"/>'
            )
        parts.append(f"<g><title>{escape(said)}</title>{''.join(drawn)}</g>")
    return (
        f'<svg class="histogram" viewBox="-14 -4 {_WIDTH + 28:.0f} {_HEIGHT + _FOOT + 4:.0f}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>{"".join(_ticks())}</svg>'
    )


def _ticks() -> Iterator[str]:
    for value in (0.25, 0.5, 0.75, 1.0):
        x = (value - 0.25) / 0.75 * _WIDTH
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEIGHT}" y2="{_HEIGHT + 5}"/>'
        yield f'<text x="{x:.1f}" y="{_HEIGHT + 19}" text-anchor="middle">{value:g}</text>'


def _bin_title(counts: NDArray[np.integer], names: Sequence[str], first: float, last: float) -> str:
    parts = [f"{name} {count:,}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    return f"{0.25 + 0.75 * first:.2f} to {0.25 + 0.75 * last:.2f}: {', '.join(parts) or 'none'} voxels"
