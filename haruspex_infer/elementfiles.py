"""Elements for viewers: a model of pseudo-atoms, its text as PDB, and ChimeraX markers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from haruspex_infer import __version__
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND, StructureClass
from haruspex_infer.element import LETTER, Element
from haruspex_infer.sheets import Sheet

if TYPE_CHECKING:
    import gemmi

_MARKER_RADIUS = {HELIX: 1.2, STRAND: 0.9, NUCLEOTIDE: 1.2}  # Å
_GROUPS = {HELIX: "helix axes", STRAND: "strand traces", NUCLEOTIDE: "phosphates of nucleic acid"}


def pseudo_model(elements: Sequence[Element], sheets: Sequence[Sheet], name: str) -> "gemmi.Structure":
    """Return a model with a pseudo-atom for each residue, and the elements as its secondary structure.

    Chain H holds helix axes and chain S strand traces (CA of UNK), chain N phosphates (P of N); residue
    numbers jump between elements. B factors are 100 × probability. Records that need the sense of a strand
    leave it open.

    Parameters
    ----------
    elements : sequence of Element
        Helices, strands and stretches of nucleic acid, in any order.
    sheets : sequence of Sheet
        Their indices count the strands in the order of `elements`.
    name : str
        Name of the model.
    """
    import gemmi

    made = gemmi.Structure()
    made.name = name
    made.info["_struct.title"] = f"Elements found in {name} by haruspex-infer {__version__}: no atomic model"
    model = gemmi.Model(1)
    for kind, group in _by_kind(elements):
        if not group:
            continue
        chain = gemmi.Chain(LETTER[kind])
        for element in group:
            for offset, (point, probability) in enumerate(
                zip(element.points.tolist(), element.probabilities.tolist(), strict=True)
            ):
                residue = gemmi.Residue()
                residue.name = _residue(element)
                residue.seqid = gemmi.SeqId(element.first + offset, " ")
                residue.entity_type = gemmi.EntityType.Polymer
                atom = gemmi.Atom()
                atom.name, symbol = ("P", "P") if kind is NUCLEOTIDE else ("CA", "C")
                atom.element = gemmi.Element(symbol)
                atom.pos = gemmi.Position(*point)
                atom.b_iso = round(100 * probability, 2)
                residue.add_atom(atom)
                chain.add_residue(residue)
        model.add_chain(chain)
    made.add_model(model)
    made.setup_entities()
    for entity, chain in zip(made.entities, made[0], strict=True):
        nucleic = chain.name == LETTER[NUCLEOTIDE]
        entity.polymer_type = gemmi.PolymerType.Rna if nucleic else gemmi.PolymerType.PeptideL
        # no sequence is told: PyMOL would make up atoms for the numbers between elements
        for residue in chain:
            residue.label_seq = residue.seqid.num
    for element in (one for one in elements if one.kind is HELIX):
        helix = gemmi.Helix()
        helix.start, helix.end = _address(element, element.first), _address(element, element.last)
        helix.pdb_helix_class = gemmi.Helix.HelixClass.RAlpha
        helix.length = element.residues
        made.helices.append(helix)
    for number, group in enumerate(_by_sheet(elements, sheets), 1):
        sheet = gemmi.Sheet(str(number))
        for place, element in enumerate(group, 1):
            strand = gemmi.Sheet.Strand()
            strand.start, strand.end = _address(element, element.first), _address(element, element.last)
            strand.name = str(place)
            sheet.strands.append(strand)
        made.sheets.append(sheet)
    return made


def pdb_text(elements: Sequence[Element], model: "gemmi.Structure") -> str:
    """Return the model as PDB, with the bonds between pseudo-atoms, which no viewer would guess."""
    import gemmi

    model.assign_serial_numbers()
    serials = {(chain.name, residue.seqid.num): residue[0].serial for chain in model[0] for residue in chain}
    for element in elements:
        chain = LETTER[element.kind]
        for number in range(element.first, element.last):
            model.add_conect(serials[chain, number], serials[chain, number + 1], 1)
    options = gemmi.PdbWriteOptions(cryst1_record=False, conect_records=True, preserve_serial=True)
    return model.make_pdb_string(options)


def marker_text(elements: Sequence[Element]) -> str:
    """Return ChimeraX markers: a set for each class, markers of an element linked to each other.

    Format after the ChimeraX user guide, Marker Files: marker_set, marker (id, x, y, z, r, g, b, radius,
    note) and link (id1, id2, r, g, b, radius); several sets within marker_sets.
    """
    lines = ["<marker_sets>"]
    for kind, group in _by_kind(elements):
        if not group:
            continue
        colour = " ".join(
            f'{name}="{int(kind.colour[i : i + 2], 16) / 255:.3f}"'
            for name, i in zip("rgb", (1, 3, 5), strict=True)
        )
        radius = _MARKER_RADIUS[kind]
        lines.append(f"<marker_set name={quoteattr(_GROUPS[kind])}>")
        number = 0
        for element in group:
            note = quoteattr(f"{element.name}, {element.length:.0f} Å, p {element.probability:.2f}")
            for place, (x, y, z) in enumerate(element.points.tolist()):
                number += 1
                said = f" note={note}" if place == 0 else ""
                lines.append(
                    f'<marker id="{number}" x="{x:.3f}" y="{y:.3f}" z="{z:.3f}" {colour} '
                    f'radius="{radius / 2:g}"{said}/>'
                )
                if place:
                    lines.append(
                        f'<link id1="{number - 1}" id2="{number}" {colour} radius="{radius / 2:g}"/>'
                    )
        lines.append("</marker_set>")
    return "\n".join([*lines, "</marker_sets>"]) + "\n"


def _by_kind(elements: Sequence[Element]) -> list[tuple[StructureClass, list[Element]]]:
    return [(kind, [e for e in elements if e.kind is kind]) for kind in (HELIX, STRAND, NUCLEOTIDE)]


def _by_sheet(elements: Sequence[Element], sheets: Sequence[Sheet]) -> list[list[Element]]:
    """Strands by sheet in their order; each strand without neighbours is a sheet of its own."""
    strands = [element for element in elements if element.kind is STRAND]
    together = [[strands[strand] for strand in sheet.strands] for sheet in sheets]
    return together + [[strand] for strand in strands if not strand.sheet]


def _residue(element: Element) -> str:
    return "N" if element.kind is NUCLEOTIDE else "UNK"


def _address(element: Element, number: int) -> "gemmi.AtomAddress":
    import gemmi

    return gemmi.AtomAddress(LETTER[element.kind], gemmi.SeqId(number, " "), _residue(element), "CA", "\0")
