"""Generated headers and maps; `benchmarks/map_properties.py` runs many more of the same."""

import runpy
from pathlib import Path

from haruspex_infer.annotator import Annotator

PROPERTIES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "map_properties.py"))


def test_generated_headers_are_read_as_they_were_meant(tmp_path):
    assert PROPERTIES["headers_are_read_right"](tmp_path, 200) >= 200


def test_annotations_follow_storage_place_padding_and_scale(tmp_path):
    annotator = Annotator(PROPERTIES["solvent_is_other"](tmp_path), "cpu")
    cases, worst = PROPERTIES["annotations_agree"](annotator, tmp_path, 20)
    assert cases >= 20
    assert worst < PROPERTIES["BOUND"]
