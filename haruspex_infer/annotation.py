"""The result of an annotation, and what its users do with it: compare a model, look at it, save it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.compare import ModelLike, ResidueReport, compare
from haruspex_infer.layers import LayerData, napari_layers
from haruspex_infer.writers import save_annotation

if TYPE_CHECKING:
    from haruspex_infer.elements import Elements

__all__ = ["MOLECULE", "Annotation"]


# What is computed from an annotation, and what is written of it, knows `AnnotatedMap`; its users want all
# of that as methods of one object. A subclass on top gives them those, and imports go one way.
class Annotation(AnnotatedMap):
    """Class probabilities of a map, and what is made of them.

    The data, and what they sum up to, are those of `haruspex_infer.annotatedmap.AnnotatedMap`.
    """

    def compare(self, model: ModelLike) -> ResidueReport:
        """Compare an atomic model with the annotation, residue by residue.

        Residues with backbone density of at least 1 σ are judged by the class with the highest mean
        probability at their backbone (Mostosi et al. 2020, main text).

        Parameters
        ----------
        model : path-like, haruspex_infer.structure.Structure or gemmi.Structure
            PDB or mmCIF file, plain or gzipped, or a model in memory; in the frame of the map.

        Returns
        -------
        haruspex_infer.compare.ResidueReport
            A row for each amino acid and nucleotide, and the stretches to look at first.

        Raises
        ------
        HaruspexError
            If the model cannot be read, or nothing of it lies in the map.
        """
        return compare(self, model)

    def to_napari(self) -> list[LayerData]:
        """Return the annotation as layers of napari, in Å: density, probabilities and classes.

        Returns
        -------
        list of tuple
            Data, attributes and kind of each layer (napari's LayerData); ``napari.layers.Layer.create(*one)``
            makes a layer of one. Classes have the colours of `haruspex_infer.classes`.
        """
        return napari_layers(self)

    def save(
        self,
        directory: str | os.PathLike[str],
        stem: str | None = None,
        report: ResidueReport | None = None,
        elements: "Elements | None" = None,
        density_weighted: bool = False,
        html: bool = True,
        command: str | None = None,
    ) -> list[Path]:
        """Write probability maps, labels, scripts for ChimeraX and PyMOL, a summary and an HTML report.

        Parameters
        ----------
        directory : path-like
            Folder; made if need be.
        stem : str, optional
            Beginning of the file names; the name of the map without its endings if left out.
        report : ResidueReport, optional
            Comparison with a model, whose files are then written too.
        elements : Elements, optional
            Objects found in the annotation, whose files are then written too.
        density_weighted : bool
            Also write probability × density of each class, for programs that contour maps by level: the
            density is counted from solvent, so that the four add up to the map.
        html : bool
            Also write ``STEM_report.html`` (`haruspex_infer.report.write_report`).
        command : str, optional
            Command line to name in the HTML report.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        HaruspexError
            If they cannot be written.
        """
        folder, stem = Path(directory), stem or self.map.stem
        return save_annotation(self, folder, stem, report, elements, density_weighted, html, command)
