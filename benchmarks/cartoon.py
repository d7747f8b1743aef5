"""Ribbons of an atomic model, coloured by class, as surfaces for pyvista."""

import numpy as np
import pyvista
from numpy.typing import NDArray

from haruspex_infer.backbone import peptide_bonded
from haruspex_infer.classes import CLASSES, HELIX, OTHER, STRAND
from haruspex_infer.structure import AMINO_ACID, NUCLEOTIDE_KIND, Structure

STEPS = 8
"""Cross-sections from one residue to the next."""

SIDES = 16
"""Corners of a cross-section."""

HALF_WIDTHS = {OTHER.number: (0.35, 0.35), HELIX.number: (1.5, 0.4), STRAND.number: (1.3, 0.35)}
"""Half width and half thickness of the ribbon in Å."""

NUCLEIC_RADIUS = 0.9

LONGEST_NUCLEOTIDE_STEP = 9.0
"""Å between C4' atoms of neighbouring nucleotides."""


def rgb(number: int) -> NDArray[np.float64]:
    """Colour of a class, three numbers from 0 to 1."""
    colour = CLASSES[number].colour
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255


def cartoon(structure: Structure, classes: NDArray[np.uint8]) -> pyvista.PolyData:
    """Ribbon of a structure with an array ``colour`` at its points.

    Parameters
    ----------
    structure : Structure
    classes : ndarray of uint8, shape (m,)
        Class of each residue.
    """
    surface = pyvista.PolyData()
    pieces = [_protein(*run, classes) for run in _protein_runs(structure)]
    pieces += [_nucleic(places) for places in _nucleic_runs(structure)]
    return surface.merge(pieces) if pieces else surface


def _protein_runs(structure: Structure) -> list[tuple[NDArray, NDArray, NDArray]]:
    """Return residues, Cα positions and C→O directions of each unbroken stretch."""
    main_chain = structure.main_chain()
    bonded = np.append(peptide_bonded(structure), False)
    runs, start = [], 0
    for k in range(structure.n_residues):
        if not bonded[k]:
            rows = np.arange(start, k + 1)
            rows = rows[(structure.kind[rows] == AMINO_ACID) & np.isfinite(main_chain[rows]).all(axis=(1, 2))]
            if len(rows) > 2:
                runs.append((rows, main_chain[rows, 1], main_chain[rows, 3] - main_chain[rows, 2]))
            start = k + 1
    return runs


def _protein(rows: NDArray, alpha: NDArray, plane: NDArray, classes: NDArray[np.uint8]) -> pyvista.PolyData:
    kinds = classes[rows]
    # neighbouring peptides of a strand point in opposite directions: turn them the same way
    for k in range(1, len(plane)):
        if np.dot(plane[k], plane[k - 1]) < 0:
            plane[k] = -plane[k]
    smooth = alpha.copy()
    strand = kinds == STRAND.number
    smooth[1:-1][strand[1:-1]] = (alpha[:-2] + 2 * alpha[1:-1] + alpha[2:])[strand[1:-1]] / 4
    at = np.linspace(0, len(rows) - 1, (len(rows) - 1) * STEPS + 1)
    owner = np.rint(at).astype(int)
    widths = np.array([HALF_WIDTHS[kind] for kind in kinds])
    section = np.stack([_eased(widths[:, k], at) for k in range(2)], axis=1)
    # strands end in arrow heads
    ends = np.flatnonzero(strand & ~np.append(strand[1:], False))
    for end in ends:
        head = (at > end - 1.5) & (at <= end + 0.5)
        section[head, 0] = 2.2 * np.clip((end + 0.5 - at[head]) / 2, 0.12, 1)
    colours = np.array([rgb(kind) for kind in kinds])[owner]
    return _sweep(_spline(smooth, at), _spline(plane, at), section, colours)


def _nucleic_runs(structure: Structure) -> list[NDArray]:
    atoms = (structure.atom_name == "C4'") & (structure.kind[structure.residue] == NUCLEOTIDE_KIND)
    places = structure.xyz[atoms]
    if len(places) == 0:
        return []
    broken = np.linalg.norm(np.diff(places, axis=0), axis=1) > LONGEST_NUCLEOTIDE_STEP
    return [run for run in np.split(places, np.flatnonzero(broken) + 1) if len(run) > 2]


def _nucleic(places: NDArray) -> pyvista.PolyData:
    at = np.linspace(0, len(places) - 1, (len(places) - 1) * STEPS + 1)
    section = np.full((len(at), 2), NUCLEIC_RADIUS)
    colours = np.tile(rgb(3), (len(at), 1))
    return _sweep(_spline(places, at), np.tile([0.3, 0.5, 0.8], (len(at), 1)), section, colours)


def _spline(points: NDArray, at: NDArray) -> NDArray:
    """Catmull-Rom spline through points, evaluated at fractional indices."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    low = np.minimum(at.astype(int), len(points) - 2)
    t = (at - low)[:, None]
    a, b, c, d = (padded[low + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def _eased(values: NDArray, at: NDArray) -> NDArray:
    """Interpolate so that a change between two residues happens half-way, and quickly."""
    low = np.minimum(at.astype(int), len(values) - 2)
    t = np.clip((at - low - 0.5) * 3 + 0.5, 0, 1)
    return values[low] + (values[low + 1] - values[low]) * t * t * (3 - 2 * t)


def _sweep(path: NDArray, across: NDArray, section: NDArray, colours: NDArray) -> pyvista.PolyData:
    """Move an ellipse along a path; its width lies along `across`."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    wide = across - (across * tangent).sum(axis=1, keepdims=True) * tangent
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    thick = np.cross(tangent, wide)
    angle = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    ring = (
        np.cos(angle)[None, :, None] * (section[:, :1] * wide)[:, None]
        + np.sin(angle)[None, :, None] * (section[:, 1:] * thick)[:, None]
    )
    points = (path[:, None] + ring).reshape(-1, 3)
    row, side = np.meshgrid(np.arange(len(path) - 1), np.arange(SIDES), indexing="ij")
    following = (side + 1) % SIDES
    corners = [
        row * SIDES + side,
        row * SIDES + following,
        (row + 1) * SIDES + following,
        (row + 1) * SIDES + side,
    ]
    quads = np.stack([np.full(row.size, 4), *(c.ravel() for c in corners)], axis=1)
    caps = [[SIDES, *range(SIDES)], [SIDES, *range(len(points) - SIDES, len(points))]]
    faces = np.concatenate([quads.ravel(), np.ravel(caps)])
    surface = pyvista.PolyData(points, faces)
    surface["colour"] = np.repeat((colours * 255).astype(np.uint8), SIDES, axis=0)
    return surface
