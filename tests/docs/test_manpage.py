"""The manual page: it is that of the command line as it stands, and man can show it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "man" / "haruspex-infer.1"


def run(*command, **more) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]), **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_it_is_up_to_date(tmp_path):
    run(sys.executable, ROOT / "docs/tools/manpage.py", tmp_path / "page.1")
    same = (tmp_path / "page.1").read_text() == PAGE.read_text()
    assert same, "the command line has changed: run 'make man' and commit the page"


def test_it_travels_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = settings["data-files"]["share/man/man1"]
    assert shipped == [PAGE.relative_to(ROOT).as_posix()]


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_it_renders_and_names_every_option():
    shown = run("groff", "-man", "-ww", "-b", "-Tutf8", "-Kutf8", "-P-cbou", PAGE, LC_ALL="C.UTF-8")
    assert shown.stderr == ""
    told = run(sys.executable, "-m", "haruspex_infer", "--help", COLUMNS="200").stdout
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told))
    assert {"--model", "-o", "--help", "--install-completion"} <= options
    assert options <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", shown.stdout))
    for text in ("Å", "probability × density", "STEM_haruspex", "map.mrc"):
        assert text in shown.stdout
