"""The result: class probabilities on the voxels of the input, and what they sum up to."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map

if TYPE_CHECKING:
    from haruspex_infer.compare import ModelLike, ResidueReport
    from haruspex_infer.layers import LayerData

# On the normalised scale solvent is 0 and strong molecular density 1. At 0.2 the enclosed volume of two
# whole maps (EMD-11007, EMD-0093) is that of the molecules by mass (1.21 Å³ a dalton) within 15 %.
MOLECULE = 0.2


@dataclass(frozen=True)
class Annotation:
    """Class probabilities of a map.

    Attributes
    ----------
    map : Map
        The annotated map.
    probabilities : ndarray of float32, shape (4, z, y, x)
        Probability of other, helix, strand, nucleotide for every voxel of the map; they sum to 1.
    offset, scale : float
        Density at which the map's normalised density is 0, and the difference that makes it 1.
    report : dict
        Network, device, grids, tiles and timings of the run, ready for JSON.
    warnings : tuple of str
        What a user should know about the input or the run.
    """

    map: Map
    probabilities: NDArray[np.float32]
    offset: float
    scale: float
    report: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """Where the voxels lie: the grid of the map."""
        return self.map.grid

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The most probable class of every voxel, shape (z, y, x); 0 is other."""
        labels = np.empty(self.grid.shape, dtype=np.uint8)
        for z in range(len(labels)):  # by sections: argmax of a volume needs eight bytes a voxel
            labels[z] = self.probabilities[:, z].argmax(axis=0)
        return labels

    def level(self, normalised: float) -> float:
        """Return the map's own density at a place on the normalised scale.

        Parameters
        ----------
        normalised : float
            0 is solvent, 1 strong molecular density.

        Returns
        -------
        float
            Density in the units of the map.
        """
        return self.offset + normalised * self.scale

    @cached_property
    def composition(self) -> dict[str, dict[str, float]]:
        """How much of the map is of which class.

        By class name: ``voxels`` and ``volume`` (Å³) of all voxels where the class is the most probable;
        ``molecule_voxels`` and ``molecule_volume`` (Å³) of those inside the molecular density, that is with
        normalised density of at least 0.2; ``molecule_fraction``, their share of the molecular density.
        """
        inside = self.map.density >= self.level(MOLECULE)
        labels = self.labels
        everywhere = np.bincount(labels.ravel(), minlength=len(CLASSES))
        within = np.bincount(labels[inside], minlength=len(CLASSES))
        molecule = max(1, int(within.sum()))
        volume = self.grid.voxel_volume
        return {
            c.name: {
                "voxels": int(everywhere[c.number]),
                "volume": float(everywhere[c.number]) * volume,
                "molecule_voxels": int(within[c.number]),
                "molecule_volume": float(within[c.number]) * volume,
                "molecule_fraction": float(within[c.number]) / molecule,
            }
            for c in CLASSES
        }

    def compare(self, model: "ModelLike") -> "ResidueReport":
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
        from haruspex_infer.compare import compare  # it imports this module

        return compare(self, model)

    def to_napari(self) -> "list[LayerData]":
        """Return the annotation as layers of napari, in Å: density, probabilities and classes.

        Returns
        -------
        list of tuple
            Data, attributes and kind of each layer (napari's LayerData); ``napari.layers.Layer.create(*one)``
            makes a layer of one. Classes have the colours of `haruspex_infer.classes`.
        """
        from haruspex_infer.layers import napari_layers  # it imports this module

        return napari_layers(self)

    def save(
        self,
        directory: str | os.PathLike[str],
        stem: str | None = None,
        report: "ResidueReport | None" = None,
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
        from haruspex_infer.writers import save_annotation  # it imports this module

        folder, stem = Path(directory), stem or self.map.stem
        return save_annotation(self, folder, stem, report, density_weighted, html, command)
