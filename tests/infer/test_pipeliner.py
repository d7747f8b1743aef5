"""The job in CCP-EM's pipeliner: the real pipeliner finds it, runs it and reads what it wrote."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from peptides import write_helix_in_map

from haruspex_infer.example import example_map
from haruspex_infer.mapfile import read_map, write_map_like

pytest.importorskip("pipeliner", reason="CCP-EM's pipeliner (ccpem-pipeliner) is not installed")

from pipeliner.api.manage_project import PipelinerProject
from pipeliner.job_factory import get_job_types, new_job_of_type

JOB = "haruspex.map_analysis"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A new project in the current folder."""
    monkeypatch.chdir(tmp_path)
    return PipelinerProject(make_new_project=True)


def run(project, **options):
    """A finished job: the pipeliner starts the command and waits for it."""
    parameters = {"_rlnJobTypeLabel": JOB, "device": "cpu", **options}
    return project.run_job(parameters, run_in_foreground=True)


def kinds(job) -> dict[str, str]:
    """Type of each output node by the file's name; each of the files is there."""
    for node in job.output_nodes:
        assert Path(node.name).is_file(), node.name
    return {Path(node.name).name: node.type for node in job.output_nodes}


def displayed(job) -> dict[str, object]:
    """What the pipeliner shows of a job, by title: none of it is an error."""
    shown = job.save_results_display_files()
    assert all(one.dobj_type != "pending" for one in shown), [vars(one) for one in shown]
    return {one.title: one for one in shown}


def test_the_pipeliner_finds_it():
    (job,) = get_job_types(JOB)
    assert type(job).__module__ == "haruspex_infer.pipeliner"
    assert job.jobinfo.is_available, job.jobinfo.unavailable_message
    assert job.get_category_label() == "Map Analysis"
    assert [ref.doi for ref in job.jobinfo.references] == ["10.1002/anie.202000421"]
    assert all(option.label and option.help_text for option in job.joboptions.values())


def test_the_example_is_annotated(project):
    shutil.copy(example_map(), "polymerase.map.gz")
    job = run(project, input_map="polymerase.map.gz", density_weighted="No")
    assert job.output_dir == "Haruspex/job001/"
    assert kinds(job) == {
        **{
            f"polymerase_{name}.mrc": f"Image3D.mrc.haruspex.probability.{name}"
            for name in ("other", "helix", "strand", "nucleotide")
        },
        "polymerase_labels.mrc": "Image3D.mrc.haruspex.labels",
        "polymerase.cxc": "VisualisationScript.cxc.haruspex.chimerax",
        "polymerase_summary.json": "ProcessData.json.haruspex.summary",
        "polymerase_report.html": "LogFile.html.haruspex.report",
    }
    assert read_map("Haruspex/job001/polymerase_helix.mrc").grid == read_map("polymerase.map.gz").grid
    shown = displayed(job)
    table = shown["Composition of the molecular density"]
    assert [row[0] for row in table.table_data] == ["helix", "strand", "nucleotide", "other"]
    shares = [float(row[2].rstrip("%")) for row in table.table_data]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert min(shares) > 1  # protein of both kinds and RNA
    assert [Path(path).stem for path in shown["3D viewer: probability by class"].maps] == [
        "polymerase_helix",
        "polymerase_strand",
        "polymerase_nucleotide",
    ]
    assert Path(shown["Map slices"].img).is_file()
    assert Path(shown["Report"].html_file).name == "polymerase_report.html"
    again = project.get_job(job.output_dir)
    assert again.gather_metadata()["network"]["name"] == "residual"
    report, _ = project.create_reference_report(job.output_dir)
    assert "Mostosi" in Path(report).read_text()


def test_a_model_is_compared(project, toy, tmp_path):
    given = write_helix_in_map(tmp_path)
    write_map_like(given, np.ones_like(given.density), tmp_path / "mask.mrc", "everything")
    job = run(
        project,
        input_map="map.mrc",
        input_model="model.pdb",
        input_mask="mask.mrc",
        network="from a file",
        network_file=str(toy),
        voxel_size="1.1",
        elements="Yes",
    )
    made = kinds(job)
    assert made["map_residues.csv"] == "EvaluationMetric.csv.haruspex.residues"
    assert made["map_elements.cif"] == "AtomCoords.cif.haruspex.elements"
    assert made["map_elements.csv"] == "ProcessData.csv.haruspex.elements"
    assert made["map_model.cif"] == "AtomCoords.cif.haruspex.agreement"
    assert made["map_helix_weighted.mrc"] == "DensityMap.mrc.haruspex.weighted.helix"
    assert {node.type.split(".")[0] for node in job.input_nodes} == {
        "DensityMap",
        "AtomCoords",
        "Mask3D",
        "MlModel",
    }
    summary = job.gather_metadata()
    assert summary["masked"]
    shown = displayed(job)
    verdicts = shown["Model against map: 20 residues"]
    assert sum(int(row[1]) for row in verdicts.table_data) == 20
    assert shown["3D viewer: density by class"].models == [
        "Haruspex/job001/map_model.cif",
        "Haruspex/job001/map_elements.cif",
    ]
    listed = summary["model"]["look_first"]
    assert listed
    assert [row[1] for row in shown["Look at these stretches first"].table_data] == [
        line["text"] for line in listed
    ]


def test_what_is_wrong_is_told_in_the_log(project):
    Path("not_a_map.mrc").write_text("not a map")
    job = run(project, input_map="not_a_map.mrc")
    assert project.wait_for_job_to_finish(job) == "Failed"
    lines = [line for line in Path(job.output_dir, "run.err").read_text().splitlines() if "haruspex" in line]
    assert any("haruspex-infer: error: " in line and "not_a_map.mrc" in line for line in lines)
    assert "Traceback" not in "".join(lines)


def test_impossible_options_are_refused():
    job = new_job_of_type(JOB)
    job.joboptions["device"].value = "gpu"
    job.joboptions["network"].value = "from a file"
    told = [error.message for error in job.validate_joboptions()]
    assert any("cuda, cuda:N or cuda:N,M" in message for message in told)
    labels = {option.label for error in job.validate_joboptions() for option in error.raised_by}
    assert {"Map", "Network file", "Device"} <= labels
