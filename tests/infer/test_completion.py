"""Shell completion: what the shell gets to know, and that installing it reaches the shell."""

import os
import subprocess
import sys

import pytest

from haruspex_infer.network import shipped_networks

COMMAND = [sys.executable, "-m", "haruspex_infer"]


def environment(**more):
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def completions(*words):
    """What bash would offer for the last word."""
    asked = environment(
        _HARUSPEX_INFER_COMPLETE="complete_bash",
        COMP_WORDS="\n".join(["haruspex-infer", *words]),
        COMP_CWORD=str(len(words)),
    )
    done = subprocess.run(COMMAND, env=asked, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_options_and_their_values():
    assert {"--device", "--density-weighted"} == set(completions("--de"))
    assert completions("--device", "cu") == ["cuda"]
    assert completions("map.mrc", "--network", "") == sorted(shipped_networks())
    # nothing to offer: bash then completes file names
    assert completions("--model", "mod") == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no bash")
def test_bash_learns_it(tmp_path):
    quoted = " ".join(f"'{word}'" for word in COMMAND)
    # bash would replace itself by a last command, and the program looks which shell started it
    script = f"{quoted} --install-completion && true"
    home = environment(HOME=str(tmp_path))
    done = subprocess.run(["bash", "-c", script], env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bash completion installed" in done.stdout
    learnt = 'source "$HOME/.bashrc"; complete -p haruspex-infer'
    known = subprocess.run(["bash", "-c", learnt], env=home, capture_output=True, text=True)
    assert "_haruspex_infer_completion haruspex-infer" in known.stdout


def test_the_program_has_its_name_in_its_help():
    done = subprocess.run([*COMMAND, "--help"], env=environment(COLUMNS="80"), capture_output=True, text=True)
    assert "Usage: haruspex-infer [OPTIONS] [MAP...]" in done.stdout
    assert "python -m" not in done.stdout
