"""What is lost between simulated and experimental maps, on the same molecules.

    python benchmarks/transfer.py ../shared/data/maps
    python benchmarks/transfer.py ../shared/data/maps --map EMD-2566 --draws 5

A map is simulated of the model of each ``val`` map of 4 Å or better, several times, as training draws them,
on the same voxels, at the same resolution and under the same mask; the network annotates all of them, and the
same residues are judged: those with a backbone density of at least 1 σ of the experimental map. *Perfect* is
the model without noise or disorder at 2.6 Å: what is wrong there is no matter of the map.

Prints the figures side by side, against the truth as defined and against that of training, where residues
that only the records call an element do not count; how many errors two maps have in common; and where the
errors lie that only the experimental map has.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from commandline import add_network, add_pairs, parser_of
from measuring import table
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.stats import rankdata
from shells import Shells
from twins import PERFECT, Twin, read_twins

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import CLASS_NAMES, HELIX, OTHER, STRAND
from haruspex_infer.grid import Grid
from haruspex_infer.normalise import Normaliser
from haruspex_infer.sampling import sample
from haruspex_infer.structure import OTHER_KIND
from haruspex_train.figures import Figures, shown
from haruspex_train.judged import JudgedResidues
from haruspex_train.secondary import agreed_classes
from haruspex_train.truth import IGNORE
from haruspex_train.working import working_density, working_grid

_LEAST = 1e-6  # probability
_SHARP = 2.6  # Å, of perfect maps
SIMULATED = "map–model correlation, simulated"
BETWEEN, BETWEEN_SIMULATED = "between strands", "between strands, simulated"
CUTS = {
    "map–model correlation": (0.5, 0.6, 0.7, 0.8),
    "unmodelled density": (0.01, 0.05),
    "atoms within 10 Å": (150.0, 200.0),
    "Å to the mask": (4.0, 6.0),
    "Å to another chain": (6.0, 10.0),
    "Å to a ligand": (6.0, 10.0),
}
"""Where groups of residues end, by what is around them."""

PERCENTILES = (10, 50, 90)

_BURIED = 10.0  # Å around Cα in which atoms are counted


@dataclass(frozen=True)
class Compared:
    """One molecule: its residues in the experimental map, in simulated ones and in a perfect one.

    Attributes
    ----------
    name : str
    real, perfect : JudgedResidues
    drawn : list of JudgedResidues
    agreed : ndarray of uint8, shape (n,)
        Truth of training, `haruspex_train.truth.IGNORE` where only records speak of an element.
    features : dict of str to ndarray, shape (n,)
        What is known of the surroundings of each residue.
    """

    name: str
    real: JudgedResidues
    perfect: JudgedResidues
    drawn: list[JudgedResidues]
    agreed: NDArray[np.uint8]
    features: dict[str, NDArray[np.float64]]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Residues wrong in the experimental map, shape (n,)."""
        return wrong(self.real)

    @property
    def wrong_drawn(self) -> NDArray[np.float64]:
        """Share of the simulated maps in which each residue is wrong, shape (n,)."""
        return np.mean([wrong(rows) for rows in self.drawn], axis=0)


def wrong(rows: JudgedResidues) -> NDArray[np.bool_]:
    """Residues called another class than theirs."""
    return rows.predicted != rows.truth


def compare(twin: Twin, annotator: Annotator, draws: int) -> Compared:
    """Annotate a map and its simulated twins."""
    kept = twin.rows
    ideal = twin.simulated(0, PERFECT, _SHARP)
    return Compared(
        twin.pair.name,
        twin.judged(annotator, twin.map),
        twin.judged(annotator, twin.with_density(ideal)),
        [twin.judged(annotator, twin.with_density(twin.simulated(seed))) for seed in range(draws)],
        agreed_classes(twin.structure)[kept],
        surroundings(twin),
    )


def surroundings(twin: Twin) -> dict[str, NDArray[np.float64]]:
    """Measure what lies around each residue that counts."""
    structure, kept = twin.structure, twin.rows
    grid = working_grid(twin.map.grid)
    middle = np.full((structure.n_residues, 3), np.nan)
    for axis in range(3):
        total = np.bincount(structure.residue, structure.xyz[:, axis], structure.n_residues)
        middle[:, axis] = total / np.bincount(structure.residue, minlength=structure.n_residues)
    middle = middle[kept]
    # the box's own faces cut the map as a mask does
    there = np.pad(~twin.empty, 1)
    inwards = distance_transform_edt(there, twin.map.grid.voxel_size)[1:-1, 1:-1, 1:-1].astype(np.float32)
    tree = cKDTree(structure.xyz)
    count = np.array([len(found) for found in tree.query_ball_point(middle, _BURIED)], float)
    chain = structure.chain[structure.residue]
    alien, ligand = (np.full(len(kept), np.inf) for _ in range(2))
    for name in np.unique(structure.chain):
        mine = structure.chain[kept] == name
        others = structure.xyz[(chain != name) & (structure.kind[structure.residue] != OTHER_KIND)]
        if len(others):
            alien[mine] = cKDTree(others).query(middle[mine])[0]
    hetero = structure.xyz[structure.kind[structure.residue] == OTHER_KIND]
    if len(hetero):
        ligand = cKDTree(hetero).query(middle)[0]
    drawn = twin.with_density(twin.simulated(0))
    return {
        "map–model correlation": local_correlation(twin, twin.map.density)[kept],
        SIMULATED: local_correlation(twin, drawn.density)[kept],
        BETWEEN: between_strands(twin, twin.map.density)[kept],
        BETWEEN_SIMULATED: between_strands(twin, drawn.density)[kept],
        "unmodelled density": unmodelled(twin, grid, middle, tree),
        "atoms within 10 Å": count,
        "Å to the mask": sample(inwards, twin.map.grid, middle).astype(float),
        "Å to another chain": alien,
        "Å to a ligand": ligand,
    }


def unmodelled(twin: Twin, grid: Grid, middle: NDArray[np.float64], tree: cKDTree) -> NDArray[np.float64]:
    """Strong density near each residue that no atom explains, as a share of the voxels around it."""
    density = Normaliser()(working_density(twin.map.density, twin.map.grid), grid.voxel_size)
    places = np.argwhere(density > 0.5)
    xyz = grid.positions(places)
    xyz = xyz[tree.query(xyz)[0] > 3.0]
    if not len(xyz):
        return np.zeros(len(middle))
    around = 4 / 3 * np.pi * 8.0**3 / grid.voxel_volume
    return np.array([len(found) for found in cKDTree(xyz).query_ball_point(middle, 8.0)]) / around


def local_correlation(twin: Twin, density: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlation of a map with its model around the backbone of every residue, shape (m,).

    The model is drawn without noise or disorder and given the map's radial amplitudes: sharpening does not
    count. Voxels within 3 Å of the backbone of the residue and its two neighbours in the file.
    """
    grid = working_grid(twin.map.grid)
    map_ = working_density(density, twin.map.grid)
    bare = working_density(twin.with_density(twin.simulated(0, PERFECT)).density, twin.map.grid)
    model = Shells(grid).matched(bare, map_)
    structure = twin.structure
    voxels = np.argwhere(np.ones(grid.shape, bool))
    tree = cKDTree(grid.positions(voxels))
    found = np.full(structure.n_residues, np.nan)
    atoms = np.flatnonzero(structure.backbone)
    near = tree.query_ball_point(structure.xyz[atoms], 3.0)
    of_residue: dict[int, set[int]] = {}
    for row, places in zip(structure.residue[atoms].tolist(), near, strict=True):
        of_residue.setdefault(row, set()).update(places)
    a, b = map_.ravel(), model.ravel()
    for row in of_residue:
        places = sorted(set().union(*(of_residue.get(r, ()) for r in (row - 1, row, row + 1))))
        one, other = a[places], b[places]
        if len(places) > 10 and one.std() > 0 and other.std() > 0:
            found[row] = np.corrcoef(one, other)[0, 1]
    return found


def row_of(rows: JudgedResidues, agreed: NDArray[np.uint8]) -> list[float]:
    """Figures of one map against both truths."""
    return [*five(rows.figures()), surprise(rows), *five(replace(rows, truth=agreed).figures())]


def five(figures: Figures) -> list[float]:
    """Recall, precision, F1 of helix and strand, macro F1."""
    f1 = figures.class_f1
    return [figures.recall, figures.precision, f1[HELIX.number], f1[STRAND.number], figures.macro_f1]


def surprise(rows: JudgedResidues) -> float:
    """Mean negative logarithm of the probability of what the residues are."""
    of_truth = rows.probability[np.arange(len(rows)), rows.truth]
    return float(-np.log(np.maximum(of_truth, _LEAST)).mean())


def between_strands(twin: Twin, density: NDArray[np.floating]) -> NDArray[np.float64]:
    """Density half way to Cα atoms of neighbouring strands, as a share of that at these atoms, shape (m,).

    Not a number where no strand lies beside: at 4.2–5.8 Å, more than three residues away.
    """
    alpha = twin.structure.main_chain()[:, 1].astype(np.float64)
    strand = np.flatnonzero((twin.classes == STRAND.number) & np.isfinite(alpha[:, 0]))
    found = np.full(len(alpha), np.nan)
    if not len(strand):
        return found
    apart = np.linalg.norm(alpha[strand, None] - alpha[strand], axis=2)
    beside = (apart > 4.2) & (apart < 5.8) & (np.abs(strand[:, None] - strand) > 3)
    at = sample(density, twin.map.grid, alpha[strand])
    for k, row in enumerate(strand):
        if beside[k].any():
            middle = sample(density, twin.map.grid, (alpha[row] + alpha[strand[beside[k]]]) / 2)
            found[row] = middle.mean() / max(np.append(at[beside[k]], at[k]).mean(), 1e-9)
    return found


def print_pairs(found: list[Compared]) -> None:
    """Print the figures side by side."""
    short = ["recall", "precision", "helix", "strand", "macro F1"]
    head = ["map", "made", *short, "−log likelihood", *(f"{name}, agreed" for name in short)]
    lines: list[list[str]] = []
    all_values: dict[str, list[list[float]]] = {}
    for one in found:
        values = {
            "deposited": row_of(one.real, one.agreed),
            "simulated": np.mean([row_of(rows, one.agreed) for rows in one.drawn], axis=0).tolist(),
            "perfect": row_of(one.perfect, one.agreed),
        }
        for made, row in values.items():
            lines.append([one.name, made, *map(shown, row)])
            all_values.setdefault(made, []).append(row)
    for made, rows in all_values.items():
        lines.append(["median", made, *map(shown, np.nanmedian(rows, axis=0))])
    print(table(head, lines))


def print_common(found: list[Compared]) -> None:
    """Print how many errors two maps of one molecule share."""
    print("\n## Errors in common\n")
    head = ["map", "residues", "wrong", "of these wrong in a simulated map", "wrong in the perfect one"]
    head += ["wrong in a simulated map", "of these wrong in another one", "wrong in the experimental one"]
    lines = []
    for one in [*found, None]:
        parts = [one] if one else found
        real = np.concatenate([part.wrong for part in parts])
        perfect = np.concatenate([wrong(part.perfect) for part in parts])
        drawn = np.concatenate([np.stack([wrong(rows) for rows in part.drawn]) for part in parts], axis=1)
        # the share of the other draws in which an error of one draw is made
        others = (drawn.sum(axis=0) - drawn) / max(1, len(drawn) - 1)
        cells = [drawn[:, real].mean(), perfect[real].mean(), drawn.sum() / len(drawn)]
        cells += [others[drawn].mean(), np.broadcast_to(real, drawn.shape)[drawn].mean()]
        shares = [f"{cell:.0f}" if k == 2 else f"{cell:.2f}" for k, cell in enumerate(cells)]
        lines.append([one.name if one else "all", str(len(real)), str(real.sum()), *shares])
    print(table(head, lines))


def print_agreement(found: list[Compared]) -> None:
    """Print how well maps and their model agree around the backbone of residues."""
    print("\n## Correlation of map and model at the backbone of residues\n")
    head = ["map", "made", *(f"{percentile} %" for percentile in PERCENTILES)]
    head.append("density between strands, median")
    lines = []
    names = {"deposited": ("map–model correlation", BETWEEN), "simulated": (SIMULATED, BETWEEN_SIMULATED)}
    for one in found:
        for made, (correlation, between) in names.items():
            gaps = one.features[between]
            values = [*np.nanpercentile(one.features[correlation], PERCENTILES)]
            values.append(np.nanmedian(gaps) if np.isfinite(gaps).any() else np.nan)
            lines.append([one.name, made, *(shown(value, 2) for value in values)])
    print(table(head, lines))


def print_where(found: list[Compared]) -> None:
    """Print how often residues are wrong in the experimental and in simulated maps, by where they lie."""
    print("\n## Where\n")
    head = ["residues", "in all", "wrong, experimental", "wrong, simulated", "wrong only in the experimental"]
    lines = []
    real = np.concatenate([one.wrong for one in found])
    drawn = np.concatenate([one.wrong_drawn for one in found])
    for name, chosen in strata(found).items():
        if chosen.any():
            only = (real & (drawn < 0.5))[chosen].mean()
            shares = [real[chosen].mean(), drawn[chosen].mean(), only]
            lines.append([name, str(chosen.sum()), *(f"{share:.3f}" for share in shares)])
    print(table(head, lines))


def strata(found: list[Compared]) -> dict[str, NDArray[np.bool_]]:
    """Return groups of the residues of all maps together."""

    def all_of(of: Callable[[Compared], NDArray]) -> NDArray:
        return np.concatenate([of(one) for one in found])

    truth = all_of(lambda one: one.real.truth)
    groups = {"all": np.ones(len(truth), bool)}
    for label in (OTHER, HELIX, STRAND):
        groups[f"truth {CLASS_NAMES[label.number]}"] = truth == label.number
    groups["only records call it an element"] = all_of(lambda one: one.agreed) == IGNORE
    cuts = {
        "σ level": (all_of(lambda one: one.real.sigma_level), (2, 3, 4.5)),
        **{name: (np.concatenate([one.features[name] for one in found]), at) for name, at in CUTS.items()},
    }
    for name, (values, at) in cuts.items():
        for low, high in itertools.pairwise((-np.inf, *at, np.inf)):
            limits = f"under {high:g}" if low == -np.inf else f"{low:g} and more"
            if np.isfinite(low) and np.isfinite(high):
                limits = f"{low:g}–{high:g}"
            groups[f"{name}, {limits}"] = (values >= low) & (values < high)
    # B factors are no measure across entries: thirds of each
    rank = all_of(lambda one: rankdata(one.real.b_factor) / len(one.real))
    for k, name in enumerate(("lowest", "middle", "highest")):
        groups[f"{name} third of B factors"] = (rank > k / 3) & (rank <= (k + 1) / 3)
    return groups


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    add_network(parser)
    parser.add_argument("--map", action="append", help="name of a val map; several times for several")
    parser.add_argument("--draws", type=int, default=3, help="simulated maps of each model")
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    found = [compare(twin, annotator, options.draws) for twin in read_twins(options.folder, options.map)]
    print_pairs(found)
    print_common(found)
    print_agreement(found)
    print_where(found)


if __name__ == "__main__":
    main()
