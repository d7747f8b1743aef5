"""Tells what was understood of a map file, for people who wonder about its header."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.mapheader import MODE_NAMES
from haruspex_infer.normalise import INVERTED, Normaliser, is_inverted
from haruspex_infer.outside import look_at_density
from haruspex_infer.readheader import stamped_byte_order
from haruspex_infer.sampling import mean_and_sigma

_AXES = {1: "x", 2: "y", 3: "z"}
_ORDERS = {"<": "little-endian", ">": "big-endian"}
_TOMOGRAM = 5.0


@dataclass(frozen=True)
class Check:
    """What a map file says.

    Attributes
    ----------
    facts : dict of str to str
        What was understood, in the order to show it.
    notes : tuple of str
        What is unusual and deserves a look.
    """

    facts: dict[str, str]
    notes: tuple[str, ...]

    def text(self, name: str) -> str:
        """Return a block of lines for people."""
        width = max(map(len, self.facts))
        lines = [name, *(f"  {key:{width}}  {value}" for key, value in self.facts.items())]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def check_map(path: Path, voxel_size: float | None = None) -> Check:
    """Read a map and tell what was understood.

    Parameters
    ----------
    path : Path
        MRC/CCP4 file.
    voxel_size : float, optional
        In place of the header's, Å.

    Raises
    ------
    HaruspexError
        If the map cannot be annotated: it cannot be read, or holds nothing above solvent.
    """
    map_ = read_map(path, voxel_size)
    offset, scale = Normaliser().measure(map_.density, map_.grid.voxel_size)
    mean, sigma = mean_and_sigma(map_.density)
    facts = {
        "file": _file(map_),
        "size": f"{_times(map_.grid.shape)} voxels (x × y × z); " + _axes(map_),
        "voxel size": f"{_times(map_.grid.voxel_size, '.5g')} Å" + (" as given" if voxel_size else ""),
        "cell": _cell(map_),
        "position": _position(map_),
        "symmetry": _symmetry(map_),
        "density": f"{map_.density.min():.4g} to {map_.density.max():.4g}, mean {mean:.4g}, σ {sigma:.4g}",
        "solvent": f"at {offset:.4g}; strong density {scale:.4g} above it ({scale / sigma:.1f} σ)",
    }
    notes = [*map_.warnings, *_notes(map_, voxel_size, mean, sigma)]
    if is_inverted(Normaliser().apply(map_.density, offset, scale)):
        notes.append(INVERTED)
    notes += look_at_density(map_).warnings
    return Check(facts, tuple(notes))


def _file(map_: Map) -> str:
    mode = int(map_.header.fields.mode)
    stamp = " ".join(f"{byte:02x}" for byte in bytes(map_.header.fields.machst))
    agrees = stamped_byte_order(map_.header.fields) == map_.header.byte_order
    order = _ORDERS[map_.header.byte_order]
    return (
        f"{'packed, ' + map_.packed if map_.packed else 'plain'}; mode {mode}, {MODE_NAMES[mode]}; {order}, "
        f"machine stamp {stamp}" + ("" if agrees else ", which does not say so")
    )


def _axes(map_: Map) -> str:
    along = ", ".join(_AXES[axis] for axis in map_.header.axes)
    return f"columns, rows, sections along {along}"


def _cell(map_: Map) -> str:
    fields = map_.header.fields
    cell = " × ".join(f"{float(fields.cella[axis]):.5g}" for axis in "xyz")
    sampling = (int(fields.mx), int(fields.my), int(fields.mz))
    if sampling == map_.grid.shape[::-1]:
        return f"{cell} Å, that of the box"
    return f"{cell} Å, of {' × '.join(map(str, sampling))} voxels"


def _position(map_: Map) -> str:
    header = map_.header
    place = ", ".join(f"{value:.2f}" for value in reversed(map_.grid.origin))
    if header.placed_by_origin:
        return f"first voxel at ({place}) Å, by origin"
    if header.start.any():
        return f"first voxel at ({place}) Å, by nstart"
    return "first voxel at (0, 0, 0): neither origin nor nstart is set"


def _symmetry(map_: Map) -> str:
    fields = map_.header.fields
    extended = int(fields.nsymbt)
    kind = bytes(fields.exttyp).decode("ascii", "replace").strip("\0 ")
    records = f"an extended header of {extended:,} bytes{' (' + kind + ')' if kind else ''}, not passed on"
    return f"space group {int(fields.ispg)}; {records if extended else 'no extended header'}"


def _notes(map_: Map, given: float | None, mean: float, sigma: float) -> list[str]:
    notes = []
    edges = np.array(map_.grid.voxel_size)
    if given is None and (edges == 1).all():
        notes.append("voxels of exactly 1 Å are what programs write that do not know the size: is it right?")
    if edges.max() > 1.01 * edges.min():
        notes.append(
            "the edges of the voxels differ by more than 1 %, which maps of single particles seldom do"
        )
    if edges.max() > _TOMOGRAM:
        notes.append(f"voxels of {edges.max():.3g} Å: a tomogram? Secondary structure needs about 4 Å")
    if int(map_.header.fields.ispg) > 1:
        notes.append("the space group is that of a crystal; its symmetry is not applied")
    stated = [float(map_.header.fields[key]) for key in ("dmin", "dmax", "dmean", "rms")]
    found = [float(map_.density.min()), float(map_.density.max()), mean, sigma]
    # a header says by dmax < dmin that it states nothing
    if stated[1] > stated[0] and not np.allclose(stated, found, rtol=0.01, atol=0.01 * sigma):
        notes.append("the statistics in the header are not those of the data; the data count")
    outside = float(np.mean(map_.density == map_.density.flat[0]))
    if outside > 0.5:
        notes.append(f"{outside:.0%} of the voxels hold one and the same value: the map is masked or padded")
    return notes


def _times(zyx: tuple[float, ...], form: str = "d") -> str:
    return " × ".join(format(value, form) for value in reversed(zyx))
