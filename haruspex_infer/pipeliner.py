"""The job that CCP-EM's pipeliner, and Doppio on top of it, finds under ``haruspex.map_analysis``.

Only the pipeliner imports this module, through the entry point ``ccpem_pipeliner.jobs``; nothing else here
needs it. The job runs the command line like any other program and reads what that wrote, so that it knows
nothing of networks and voxels. Written for ccpem-pipeliner 1.6.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeliner.display_tools import (
    create_results_display_object,
    make_map_model_thumb_and_display,
    make_mrcs_central_slices_montage,
)
from pipeliner.external_program_utils import ExternalProgram
from pipeliner.job_options import (
    BooleanJobOption,
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    JobOptionCondition,
    MultipleChoiceJobOption,
    StringJobOption,
)
from pipeliner.nodes import (
    NODE_ATOMCOORDS,
    NODE_DENSITYMAP,
    NODE_EVALUATIONMETRIC,
    NODE_IMAGE3D,
    NODE_LOGFILE,
    NODE_MASK3D,
    NODE_MLMODEL,
    NODE_PROCESSDATA,
    NODE_VISUALISATIONSCRIPT,
)
from pipeliner.pipeliner_job import PipelinerCommand, PipelinerJob, Ref
from pipeliner.results_display_objects import ResultsDisplayObject

from haruspex_infer import __version__
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.mapfile import stem_of
from haruspex_infer.network import DEFAULT_NETWORK, shipped_networks

PROGRAM = "haruspex-infer"

_OWN_NETWORK = "from a file"
_MAPS = FileDescription("3D map", [".mrc", ".map", ".ccp4", ".mrc.gz", ".map.gz"])
_SHOWN = 20

PAPER = Ref(
    authors=["Mostosi P", "Schindelin H", "Kollmannsberger P", "Thorn A"],
    title=(
        "Haruspex: A Neural Network for the Automatic Identification of Oligonucleotides and Protein "
        "Secondary Structure in Cryo-Electron Microscopy Maps"
    ),
    journal="Angew Chem Int Ed",
    year="2020",
    volume="59",
    issue="35",
    pages="14788-14795",
    doi="10.1002/anie.202000421",
)


class AnnotateMap(PipelinerJob):
    """Annotates a map, and compares a model with it if one is given."""

    PROCESS_NAME = "haruspex.map_analysis"
    OUT_DIR = "Haruspex"

    def __init__(self) -> None:
        super().__init__()
        info = self.jobinfo
        info.display_name = "Haruspex map annotation"
        info.version = __version__
        info.job_author = "The Haruspex authors"
        info.short_desc = "Find helices, strands and nucleic acid in a map"
        info.long_desc = (
            "Annotates every voxel of a cryo-EM map of about 4 Å or better as helix, strand, nucleotide or "
            "other with a 3D U-Net. No contour level, mask or model is needed. With an atomic model, each "
            "of its residues is compared with the map, and the stretches to look at first are listed."
        )
        info.documentation = "https://doi.org/10.1002/anie.202000421"
        program = _program()
        info.programs = [ExternalProgram(program, name=PROGRAM, vers_com=[program, "--version"])]
        info.references = [PAPER]
        self._ask_for_files()
        self._ask_how()
        self.get_runtab_options()

    def _ask_for_files(self) -> None:
        self.joboptions["input_map"] = InputNodeJobOption(
            label="Map",
            node_type=NODE_DENSITYMAP,
            pattern=_MAPS,
            help_text=(
                "The map to annotate, sharpened or not. Any voxel size, box and axis order. Give a whole "
                "map, or one with 10 Å of surroundings: tight crops lose helices."
            ),
            is_required=True,
        )
        self.joboptions["input_model"] = InputNodeJobOption(
            label="Model to compare",
            node_type=NODE_ATOMCOORDS,
            pattern=FileDescription("Atomic model", [".cif", ".pdb", ".ent", ".cif.gz", ".pdb.gz"]),
            help_text="A model fitted into the map: each residue is compared with the annotation.",
        )
        self.joboptions["input_mask"] = InputNodeJobOption(
            label="Mask",
            node_type=NODE_MASK3D,
            pattern=_MAPS,
            help_text="On the voxels of the map; only where it is at least 0.5 is annotated.",
        )

    def _ask_how(self) -> None:
        self.joboptions["network"] = MultipleChoiceJobOption(
            label="Network",
            choices=[*sorted(shipped_networks()), _OWN_NETWORK],
            default_value=DEFAULT_NETWORK,
            help_text="A network that ships with the program, or one of your own.",
        )
        own = JobOptionCondition([("network", "=", _OWN_NETWORK)])
        shipped = JobOptionCondition([("network", "!=", _OWN_NETWORK)])
        self.joboptions["network_file"] = InputNodeJobOption(
            label="Network file",
            node_type=NODE_MLMODEL,
            pattern=FileDescription("Network", [".onnx"]),
            help_text="A network that 'haruspex export' wrote.",
            required_if=own,
            deactivate_if=shipped,
        )
        self.joboptions["device"] = StringJobOption(
            label="Device",
            default_value="auto",
            help_text="auto takes a GPU if there is one; cpu; cuda, cuda:1 or cuda:0,1 insist on GPUs.",
            validation_regex=r"auto|cpu|cuda(:\d+(,\d+)*)?",
            regex_error_message="The device must be auto, cpu, cuda, cuda:N or cuda:N,M.",
            is_required=True,
        )
        self.joboptions["voxel_size"] = FloatJobOption(
            label="Voxel size (Å)",
            hard_min=0.01,
            step_value=0.01,
            help_text="Only if the header's is missing or wrong.",
        )
        self.joboptions["density_weighted"] = BooleanJobOption(
            label="Write density by class?",
            default_value=True,
            help_text=(
                "Also write probability × density of each class: maps that contour like density, and that "
                "later jobs take as input."
            ),
        )
        self.joboptions["elements"] = BooleanJobOption(
            label="Find elements?",
            default_value=False,
            help_text="Also write helices, strands and nucleic acid as traces of pseudo-atoms.",
        )

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the one command: the command line."""
        network = self._string("network")
        command = [_program(), self._string("input_map"), "--output", self.output_dir]
        command += ["--network", self._string("network_file") if network == _OWN_NETWORK else network]
        command += ["--device", self._string("device")]
        for flag, option in (("--model", "input_model"), ("--mask", "input_mask")):
            if self._string(option):
                command += [flag, self._string(option)]
        if self.joboptions["voxel_size"].value is not None:
            command += ["--voxel-size", self._string("voxel_size")]
        if self.joboptions["density_weighted"].get_boolean():
            command.append("--density-weighted")
        if self.joboptions["elements"].get_boolean():
            command.append("--elements")
        return [*self.get_program_version_commands(), PipelinerCommand(command)]

    def create_output_nodes(self) -> None:
        """Tell which files the job will write."""
        for c in CLASSES:
            self.add_output_node(
                self._name(f"{c.name}.mrc"), NODE_IMAGE3D, ["haruspex", "probability", c.name]
            )
            if self.joboptions["density_weighted"].get_boolean():
                self.add_output_node(
                    self._name(f"{c.name}_weighted.mrc"), NODE_DENSITYMAP, ["haruspex", "weighted", c.name]
                )
        self.add_output_node(self._name("labels.mrc"), NODE_IMAGE3D, ["haruspex", "labels"])
        self.add_output_node(f"{self._stem}.cxc", NODE_VISUALISATIONSCRIPT, ["haruspex", "chimerax"])
        self.add_output_node(self._name("summary.json"), NODE_PROCESSDATA, ["haruspex", "summary"])
        self.add_output_node(self._name("report.html"), NODE_LOGFILE, ["haruspex", "report"])
        if self.joboptions["elements"].get_boolean():
            self.add_output_node(self._name("elements.cif"), NODE_ATOMCOORDS, ["haruspex", "elements"])
            self.add_output_node(self._name("elements.csv"), NODE_PROCESSDATA, ["haruspex", "elements"])
        if self._string("input_model"):
            self.add_output_node(self._name("residues.csv"), NODE_EVALUATIONMETRIC, ["haruspex", "residues"])
            self.add_output_node(self._name("model.cif"), NODE_ATOMCOORDS, ["haruspex", "agreement"])

    def gather_metadata(self) -> dict[str, Any]:
        """Return the summary that the program wrote."""
        return json.loads(Path(self._path("summary.json")).read_text())

    def create_results_display(self) -> Sequence[ResultsDisplayObject]:
        """Show composition, slices, the classes in 3D, where a model and its map differ, and the report."""
        summary = self.gather_metadata()
        labels = self._path("labels.mrc")
        weighted = "_weighted" if self.joboptions["density_weighted"].get_boolean() else ""
        shown = [c for c in (HELIX, STRAND, NUCLEOTIDE) if summary["composition"][c.name]["molecule_voxels"]]
        model = [self._path("model.cif")] if self._string("input_model") else []
        traces = [self._path("elements.cif")] if self.joboptions["elements"].get_boolean() else []
        objects = [_composition(summary, labels)]
        if model:
            objects += _comparison(summary["model"], self._path("residues.csv"))
        if shown or model or traces:
            objects.append(
                make_map_model_thumb_and_display(
                    outputdir=self.output_dir,
                    maps=[self._path(f"{c.name}{weighted}.mrc") for c in shown],
                    maps_colours=[c.colour for c in shown],
                    maps_opacity=[0.8] * len(shown),
                    models=model + traces,
                    title="density by class" if weighted else "probability by class",
                    maps_data=", ".join(f"{c.name} {c.colour}" for c in shown),
                    start_collapsed=False,
                )
            )
        slices = {self._path(f"{c.name}.mrc"): f"probability of {c.name}" for c in shown}
        if slices:
            objects.append(make_mrcs_central_slices_montage(slices, self.output_dir))
        page = self._path("report.html")
        objects.append(
            create_results_display_object(
                "html", title="Report", html_file=page, associated_data=[page], start_collapsed=True
            )
        )
        return objects

    @property
    def _stem(self) -> str:
        return stem_of(Path(self._string("input_map")))

    def _string(self, option: str) -> str:
        return self.joboptions[option].get_string()

    def _name(self, end: str) -> str:
        return f"{self._stem}_{end}"

    def _path(self, end: str) -> str:
        return os.path.join(self.output_dir, self._name(end))  # noqa: PTH118 - the pipeliner compares strings


def _program() -> str:
    """Return the program of this installation: a server need not have it in its PATH."""
    beside = Path(sys.executable).with_name(PROGRAM)
    return str(beside) if shutil.which(beside) else PROGRAM


def _composition(summary: dict[str, Any], labels: str) -> ResultsDisplayObject:
    rows = [
        [
            c.name,
            f"{summary['composition'][c.name]['molecule_volume']:,.0f}",
            f"{summary['composition'][c.name]['molecule_fraction']:.1%}",
        ]
        for c in (HELIX, STRAND, NUCLEOTIDE, OTHER)
    ]
    return create_results_display_object(
        "table",
        title="Composition of the molecular density",
        headers=["class", "volume (Å³)", "share"],
        table_data=rows,
        associated_data=[labels],
        flag=" ".join(summary["warnings"]),
    )


def _comparison(report: dict[str, Any], residues: str) -> list[ResultsDisplayObject]:
    """Return how many residues agree, and the stretches to look at first."""
    objects = [
        create_results_display_object(
            "table",
            title=f"Model against map: {report['residues']:,} residues",
            headers=["verdict", "residues", "meaning"],
            table_data=[
                [verdict, f"{count:,}", report["meaning"][verdict]]
                for verdict, count in report["verdicts"].items()
            ],
            associated_data=[residues],
            flag=" ".join(report["notes"]),
        )
    ]
    rows = [[str(rank), line["text"]] for rank, line in enumerate(report["look_first"][:_SHOWN], 1)]
    if rows:
        objects.append(
            create_results_display_object(
                "table",
                title="Look at these stretches first",
                headers=["rank", "stretch"],
                table_data=rows,
                associated_data=[residues],
            )
        )
    return objects
