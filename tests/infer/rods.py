"""Annotations of ideal helices, sheets and duplexes, as a perfect network would give them."""

import numpy as np
from peptides import HELIX, STRAND, backbone

from haruspex_infer.annotation import Annotation
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map

EDGE = 1.1
BLUR = 0.8  # Å: a map of about 3 Å
REACH = 3.0


def turned(seed):
    """A random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def helix(residues):
    """Backbone atoms of a straight helix about the z axis, centred on the origin, shape (n, 4, 3)."""
    atoms = backbone([HELIX] * 54)
    turns = np.stack([atoms[k : k + 18].mean(axis=(0, 1)) for k in range(37)])  # of five turns each
    upright = _upright(atoms - turns.mean(axis=0), turns[-1] - turns[0])[:residues]
    return upright - np.array([0, 0, upright[[0, -1], 1, 2].mean()])


def strand(residues):
    """Backbone atoms of a strand along z, centred, shape (n, 4, 3)."""
    atoms = backbone([STRAND] * residues)
    ca = atoms[:, 1]
    return _upright(atoms - atoms.mean(axis=(0, 1)), ca[2::2][-1] - ca[::2][0])


def bent(atoms, radius):
    """Atoms about the z axis with that axis laid on an arc in the plane of x and z."""
    x, y, z = np.moveaxis(atoms, -1, 0)
    return np.stack(
        [radius - (radius - x) * np.cos(z / radius), y, (radius - x) * np.sin(z / radius)], axis=-1
    )


def duplex(pairs):
    """Phosphates of both strands of A-form RNA, and one atom at each base; shapes (2, n, 3), (2, n, 3)."""
    number = np.arange(pairs)
    strands = []
    for radius, phase, sign in ((8.7, 0.0, 1), (8.7, 2.4, 1)):
        angle = np.radians(32.7) * number * sign + phase
        strands.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), 2.81 * number], axis=1))
    phosphates = np.array(strands)
    bases = phosphates * [0.35, 0.35, 1.0]
    centre = phosphates.reshape(-1, 3).mean(axis=0)
    return phosphates - centre, bases - centre


def annotate(parts, seed=None, shift=(0.0, 0.0, 0.0), edge=EDGE, noise=0.02, blur=BLUR):
    """Simulate a map of parts, (class number, atoms (..., 3), weight), turned by `seed` and shifted."""
    rotation = np.eye(3) if seed is None else turned(seed)
    moved = [
        (number, atoms.reshape(-1, 3) @ rotation.T + np.array(shift), weight)
        for number, atoms, weight in parts
    ]
    everything = np.concatenate([atoms for _, atoms, _ in moved])
    low = np.floor(everything.min(axis=0)) - 9
    shape = np.ceil((everything.max(axis=0) - low + 9) / edge).astype(int)
    grid = Grid(tuple(int(n) for n in shape[::-1]), (edge,) * 3, tuple(float(v) for v in low[::-1]))
    density = np.random.default_rng(1).normal(0, noise, grid.shape)
    nearest = np.full(grid.shape, REACH)
    labels = np.zeros(grid.shape, np.uint8)
    for number, atoms, weight in moved:
        for position in atoms:
            at = grid.indices(position)
            first = np.maximum(np.rint(at - 5 / edge).astype(int), 0)
            box = tuple(slice(f, f + round(10 / edge) + 1) for f in first)
            places = np.meshgrid(
                *(np.arange(s.start, min(s.stop, n)) for s, n in zip(box, grid.shape, strict=True)),
                indexing="ij",
            )
            distance = edge * np.sqrt(sum((p - c) ** 2 for p, c in zip(places, at, strict=True)))
            density[box] += weight * np.exp(-(distance**2) / (2 * blur**2))
            closer = distance < nearest[box]
            nearest[box][closer] = distance[closer]
            labels[box][closer] = number
    probabilities = np.stack([labels == number for number in range(4)]).astype(np.float32)
    strong = float(np.percentile(density[nearest < REACH], 80))
    given = Map.from_array(density.astype(np.float32), edge, grid.origin)
    return Annotation(given, probabilities, 0.0, strong), rotation


def _upright(atoms, direction):
    direction = direction / np.linalg.norm(direction)
    side = np.cross(direction, [1.0, 0.3, 0.2])
    side /= np.linalg.norm(side)
    frame = np.stack([np.cross(side, direction), side, direction])
    return atoms @ frame.T
