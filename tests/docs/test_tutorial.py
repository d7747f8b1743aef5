"""The tutorial shows what the program prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "start" / "tutorial.md"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def words(text: str) -> str:
    """A text without line breaks and numbers, and cores in the plural."""
    return " ".join(NUMBER.sub("0", text).replace("core)", "cores)").split())


def shares(text: str) -> list[float]:
    """Percentages in a text."""
    return [float(share) for share in re.findall(r"(\d+)%", text)]


def test_the_tutorial_shows_what_the_program_prints(tmp_path):
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "haruspex_infer", "--example", "--device", "cpu"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = done.stderr + done.stdout
    assert words(shown) == words(printed)
    assert shares(shown) == pytest.approx(shares(printed), abs=5)
    named = set(re.findall(r"emd_11007_crop_haruspex/\S+?\.\w+", PAGE.read_text(encoding="utf-8")))
    assert named
    for name in named:
        assert (tmp_path / name).is_file()
