"""Measures the elements found in experimental maps against the helices and strands of their models.

    python benchmarks/elements.py ../shared/data/maps
    python benchmarks/elements.py ../shared/data/maps --annotations build/annotations --only EMD-2513

Every map is done twice: as the network annotates it, and with the model's own labels in place of the
network's answer, which leaves only the error of the tracing.

- An element of the model counts if it is a helix of six residues or more, or a strand of three or more, with
  a mean backbone density of 1 σ or more. It is found if a single element covers at least half of its length:
  runs within 3 Å (helix) or 2.4 Å (strand: half the distance of two) and within 40° of its direction. Runs of
  residues that turn sharply (75° in a helix, 90° in a strand) are cut there.
- A found element is right if at least half of it lies so on elements of the model, whatever their length.
  Elements away from the model (the median point farther than 5 Å from all its atoms) are not judged.
- The deviation is that of the axes over the covered length; the error of the ends is taken along the axis,
  its mean with sign in brackets.
- Of neighbours, pairs of found strands count that share hydrogen bonds in the model.
- Of nucleic acid, phosphates count that are found within 2 Å.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from commandline import add_network, add_pairs, parser_of
from scipy.spatial import cKDTree
from trueelements import TrueElement, model_labels, neighbours, true_elements

from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import HELIX, STRAND, StructureClass
from haruspex_infer.element import Element
from haruspex_infer.elements import Elements
from haruspex_infer.findelements import find_elements
from haruspex_infer.lines import Points, beside, evenly, tangents
from haruspex_infer.residues import RESOLVED
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.secondary import residue_classes

REACH = {HELIX: 3.0, STRAND: 2.4}
SLANT = 40.0
SHARE = 0.5
MODELLED = 5.0
SAME_PHOSPHATE = 2.0


@dataclass
class Score:
    """Counts of one class; they add up over maps."""

    deposited: int = 0
    found: int = 0
    judged: int = 0
    right: int = 0
    deviations: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def __iadd__(self, other: "Score") -> "Score":
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self

    def cells(self) -> list[str]:
        """Found of deposited, right of judged, deviation, error of the ends."""
        return [
            _share(self.found, self.deposited),
            _share(self.right, self.judged),
            f"{np.mean(self.deviations):.2f}" if self.deviations else "–",
            f"{np.mean(np.abs(self.ends)):.1f} ({np.mean(self.ends):+.1f})" if self.ends else "–",
        ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f} ({part}/{whole})" if whole else "–"


def covered(line: Points, others: list[Points], kind: StructureClass) -> tuple[np.ndarray, np.ndarray]:
    """Which points, 1 Å apart, of a line lie on any of other lines, and the distance to the nearest."""
    points = evenly(line, 1.0)
    on = np.zeros(len(points), bool)
    nearest = np.full(len(points), np.inf)
    for other in others:
        lies, distance = beside(points, evenly(other, 0.5), 0, REACH[kind], SLANT)
        nearest = np.where(lies, np.minimum(nearest, distance), nearest)
        on |= lies
    return on, nearest


def judge(
    found: tuple[Element, ...], truth: list[TrueElement], kind: StructureClass, near: cKDTree
) -> tuple[Score, dict[int, int]]:
    """Compare the elements of a class; also return the true element that each right one lies on."""
    own = [element for element in truth if element.kind is kind]
    wanted = [element for element in own if element.long and element.level >= RESOLVED]
    score = Score(deposited=len(wanted))
    for element in wanted:
        covers = [covered(element.line, [one.points], kind)[0].mean() for one in found]
        if covers and max(covers) >= SHARE:
            score.found += 1
            best = found[int(np.argmax(covers))].points
            on, distance = covered(best, [element.line], kind)
            score.deviations.append(float(distance[on].mean()))
            score.ends += excess(best, element.line)
    home = {}
    for row, one in enumerate(found):
        if np.median(near.query(one.points)[0]) > MODELLED:
            continue
        score.judged += 1
        if covered(one.points, [element.line for element in own], kind)[0].mean() >= SHARE:
            score.right += 1
            covers = [covered(one.points, [element.line], kind)[0].mean() for element in own]
            home[row] = int(np.argmax(covers))
    return score, home


def excess(line: Points, truth: Points) -> list[float]:
    """By how many Å a line is too long at either end, along the true line."""
    if (line[-1] - line[0]) @ (truth[-1] - truth[0]) < 0:
        line = line[::-1]
    direction = tangents(evenly(truth, 1.0))
    return [float((truth[0] - line[0]) @ direction[0]), float((line[-1] - truth[-1]) @ direction[-1])]


def judge_neighbours(
    elements: Elements, truth: list[TrueElement], home: dict[int, int], structure: Structure
) -> Score:
    """Compare which strands are said to be neighbours, among strands that were found."""
    own = [element for element in truth if element.kind is STRAND]
    said = {
        tuple(sorted((home[i], home[j])))
        for sheet in elements.sheets
        for i, j in sheet.pairs
        if i in home and j in home and home[i] != home[j]
    }
    seen = sorted(set(home.values()))
    true = {
        (i, j) for n, i in enumerate(seen) for j in seen[n + 1 :] if neighbours(structure, own[i], own[j])
    }
    return Score(deposited=len(true), found=len(true & said), judged=len(said), right=len(true & said))


def judge_phosphates(elements: Elements, structure: Structure) -> Score:
    """Compare the phosphates, where the model has any."""
    true = structure.xyz[structure.atom_name == "P"].astype(np.float64)
    points = np.concatenate([np.empty((0, 3)), *(stretch.points for stretch in elements.stretches)])
    if len(true) == 0:
        return Score()
    points = points[cKDTree(structure.xyz).query(points)[0] <= MODELLED]
    if len(points) == 0:
        return Score(deposited=len(true))
    apart = np.linalg.norm(true[:, None] - points[None], axis=2)
    hit = apart.min(axis=1) <= SAME_PHOSPHATE
    return Score(
        deposited=len(true),
        found=int(hit.sum()),
        judged=len(points),
        right=int((apart.min(axis=0) <= SAME_PHOSPHATE).sum()),
        deviations=apart.min(axis=1)[hit].tolist(),
    )


def judge_map(annotation: Annotation, structure: Structure, truth: list[TrueElement]) -> dict[str, Score]:
    """Find the elements of a map and judge them."""
    elements = find_elements(annotation)
    near = cKDTree(structure.xyz)
    helices, _ = judge(elements.helices, truth, HELIX, near)
    strands, home = judge(elements.strands, truth, STRAND, near)
    return {
        "helices": helices,
        "strands": strands,
        "neighbours": judge_neighbours(elements, truth, home, structure),
        "phosphates": judge_phosphates(elements, structure),
    }


def annotated(pair: Pair, annotations: Annotations) -> Annotation:
    """Annotate a map, or read what was kept of it."""
    seen = annotations.of(pair.map_path)
    plan = annotations.annotator.find(seen.map)
    return Annotation(seen.map, seen.probabilities, plan.offset, plan.scale)


def table(results: dict[str, dict[str, Score]], what: str) -> str:
    """Markdown table of one class, map by map."""
    lines = ["| map | recall | precision | axis, Å | ends, Å |", "|---|---|---|---|---|"]
    total = Score()
    for name, scores in results.items():
        score = scores[what]
        if score.deposited or score.judged:
            lines.append(f"| {name} | {' | '.join(score.cells())} |")
            total += score
    lines.append(f"| all | {' | '.join(total.cells())} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    add_network(parser)
    parser.add_argument("--split", default="val", help="val to choose by, test for the final figure only")
    parser.add_argument("--annotations", type=Path, help="folder that keeps annotations")
    parser.add_argument("--only", action="append", help="a map; may be given several times")
    options = parser.parse_args()
    annotations = Annotations(Annotator(options.network, options.device), options.annotations)
    labels: dict[str, dict[str, dict[str, Score]]] = {"the network": {}, "the model's labels": {}}
    for pair in read_pairs(options.folder, options.split):
        if options.only and pair.name not in options.only:
            continue
        structure = read_structure(pair.model_paths)
        classes = residue_classes(structure)
        annotation = annotated(pair, annotations)
        truth = true_elements(structure, classes, annotation.map.density, annotation.grid)
        perfect = model_labels(structure, classes, annotation.grid)
        ideal = Annotation(annotation.map, perfect, annotation.offset, annotation.scale)
        for source, given in zip(labels, (annotation, ideal), strict=True):
            labels[source][f"{pair.name}, {pair.resolution:g} Å"] = judge_map(given, structure, truth)
        print(f"  {pair.name} is done", flush=True)
    for source, results in labels.items():
        for what in ("helices", "strands", "neighbours", "phosphates"):
            print(f"\n{what.capitalize()} by {source}\n\n{table(results, what)}")


if __name__ == "__main__":
    main()
