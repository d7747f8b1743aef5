"""A bounded run of the fuzzers; `benchmarks/fuzz.py` runs them for as long as it is let."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("target", ["map", "structure", "contract", "network"])
def test_mutated_files_are_read_or_refused_in_one_sentence(target, tmp_path):
    pytest.importorskip("atheris", reason="atheris has wheels for Linux only")
    command = [sys.executable, str(FUZZ), target, "--runs", "1500", "--kept", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    kept = {path.name: path.read_bytes()[:2000] for path in (tmp_path / "kept").iterdir()}
    assert done.returncode == 0, (done.stdout, done.stderr[-2000:], kept)
    name, inputs, coverage, crashes, hangs, memory, unit = done.stdout.splitlines()[-1].split()
    assert (name, crashes, hangs, unit) == (target, "0", "0", "MB")
    assert int(inputs.replace(",", "")) >= 1500
    assert int(coverage) > 20
    assert int(memory) < 1000
