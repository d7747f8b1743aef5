"""Kills, fills disks and takes inputs away at random moments, and looks for what is lost.

    python benchmarks/faults.py [--faults 8] [inference curation segments training export]

For each stage and each fault (SIGKILL, SIGTERM, Ctrl-C, a disk that is full after some kilobytes, an input
that vanishes, a second run into the same folder) the command is started and the fault put at a random moment.
Then every file that has its final name must be whole (it is opened and read), the exit code must say what
happened, and the command run again must end with the files of an undisturbed run and no others.

Prints a row for each stage and fault: faults put, runs that had ended before, files found half-written, wrong
exit codes, results lost (these three are to be 0), and hidden files that a kill left and the next run did not
clear away. Everything is made here, in a temporary folder.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
FAULTS = (*SIGNALS, "full disk", "input vanishes", "two runs")
# a signal before Python has set its handlers ends the process by the signal itself
EXITS = {
    "SIGKILL": {-9},
    "SIGTERM": {143, -15},
    "Ctrl-C": {130, -2},
    "full disk": {2},
    "input vanishes": {2},
    "two runs": {2, 0},
}


@dataclass(frozen=True)
class Stage:
    """One command, its inputs and its results."""

    command: list[str]
    inputs: tuple[Path, ...]
    out: Path
    seconds: float = 0.0
    expected: dict[str, str] = field(default_factory=dict)


def python(module: str, *arguments: object) -> list[str]:
    """Return a command that runs a module of the repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def inference(folder: Path) -> Stage:
    """Annotate a small map with a network for tests."""
    from mapmaking import molecule, network

    density, model = molecule(folder / "in"), network(folder / "in")
    out = folder / "out"
    command = python("haruspex_infer.cli", density, "--network", model, "--device", "cpu", "-o", out)
    return Stage([*command, "--no-report"], (density,), out)


def curation(folder: Path) -> Stage:
    """Curate one pair of map and model."""
    from pairing import write_pair

    pairs = write_pair(folder)
    out = folder / "out"
    return Stage(python("haruspex_train", "curate", pairs, "-o", out, "--workers", "1"), _maps(pairs), out)


def segments(folder: Path) -> Stage:
    """Write the training segments of one pair."""
    from pairing import write_pair

    pairs = write_pair(folder)
    subprocess.run(
        python("haruspex_train", "annotate", pairs, "-o", folder / "truth", "--workers", "1"),
        check=True, capture_output=True, env=_environment(),
    )  # fmt: skip
    out = folder / "out"
    command = python("haruspex_train", "segment", pairs, folder / "truth", "-o", out, "--workers", "1")
    return Stage(command, _maps(pairs), out)


def training(folder: Path) -> Stage:
    """Train a tiny network for a few steps, with a checkpoint after each."""
    atoms = _training_file(folder)
    out = folder / "out"
    command = [sys.executable, str(ROOT / "tests" / "train" / "tiny_run.py"), str(atoms), str(out)]
    return Stage(command, (atoms,), out)


def export(folder: Path) -> Stage:
    """Export a network as ONNX."""
    run = training(folder)
    subprocess.run(run.command, check=True, capture_output=True, env=_environment())
    weights = run.out / "weights.pt"
    out = folder / "exported"
    out.mkdir()
    return Stage(python("haruspex_train", "export", weights, out / "tiny.onnx"), (weights,), out)


STAGES: dict[str, Callable[[Path], Stage]] = {
    "inference": inference,
    "curation": curation,
    "segments": segments,
    "training": training,
    "export": export,
}


def _maps(pairs: Path) -> tuple[Path, ...]:
    return tuple(path for path in pairs.rglob("*") if ".mrc" in path.name or ".map" in path.name)


def _training_file(folder: Path) -> Path:
    from packing import pack
    from tiny import SPLITS, models

    from haruspex_train.prepare import prepare

    pack(folder, models(), SPLITS)
    prepare(folder, folder / "training.npz.xz", workers=1)
    return folder / "training.npz.xz"


def _environment() -> dict[str, str]:
    paths = [ROOT, ROOT / "tests", ROOT / "tests" / "train", os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}


def _contents(out: Path) -> dict[str, str]:
    """Digest of every file with its final name; what tells of times is left out."""
    found = {}
    for path in sorted(out.rglob("*")) if out.exists() else ():
        if path.is_file() and not path.name.startswith("."):
            found[str(path.relative_to(out))] = _digest(path)
    return found


def _digest(path: Path) -> str:
    """Digest of what a file holds, apart from times; raises where it is not whole."""
    import json

    content = path.read_bytes()
    if path.suffix == ".json":
        told = json.loads(content)
        for key in ("seconds", "date", "created", "timings", "command"):
            told.pop(key, None) if isinstance(told, dict) else None
        return "json" + ",".join(sorted(told)) if isinstance(told, dict) else "json"
    if path.suffix == ".pt":
        import torch

        state = torch.load(path, weights_only=True)
        kept = state.get("network", state.get("weights"))
        content = b"".join(t.numpy().tobytes() for t in kept.values()) + str(state["step"]).encode()
    if path.suffix == ".onnx":
        from haruspex_infer.onnxfile import read_network

        content = read_network(path)
    if path.suffix in (".mrc", ".map"):
        from haruspex_infer.mapfile import read_map

        content = read_map(path).density.tobytes()
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as store:
            content = repr(
                {name: store[name].shape for name in store if hasattr(store[name], "shape")}
            ).encode()
    if path.name == "log.tsv":
        rows = [row.split("\t") for row in content.decode().splitlines()]
        content = repr([row[:1] + row[2:] for row in rows]).encode()
    return hashlib.sha256(content).hexdigest()


def _start(stage: Stage, limit: int | None = None) -> subprocess.Popen[bytes]:
    def fill_disk() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit or 0, limit or 0))

    return subprocess.Popen(
        stage.command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
        preexec_fn=fill_disk if limit is not None else None,
    )


def prepared(name: str, folder: Path) -> Stage:
    """Make the inputs of a stage, and run it once undisturbed."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    made = STAGES[name](folder)
    began = time.perf_counter()
    done = subprocess.run(made.command, capture_output=True, env=_environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"{name} fails undisturbed: {done.stderr.decode()[-500:]}")
    seconds = time.perf_counter() - began
    expected = _contents(made.out)
    return Stage(made.command, made.inputs, made.out, seconds, expected)


def disturbed(stage: Stage, fault: str, chance: random.Random) -> dict[str, int]:
    """Put one fault; return what was found wrong."""
    found = {"put": 0, "ended before": 0, "half": 0, "exit": 0, "lost": 0, "left": 0}
    _clear(stage)
    limit = chance.choice([0, 100, 2_000, 20_000]) if fault == "full disk" else None
    process = _start(stage, limit)
    second = None
    hidden: list[tuple[Path, Path]] = []
    if fault != "full disk":
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.05, 0.95) * stage.seconds)
    if process.poll() is None or fault == "full disk":
        found["put"] = 1
        if fault in SIGNALS:
            process.send_signal(SIGNALS[fault])
        elif fault == "input vanishes":
            hidden = [(path, path.with_suffix(".gone")) for path in stage.inputs]
            for path, away in hidden:
                path.rename(away)
        elif fault == "two runs":
            second = _start(stage)
    else:
        found["ended before"] = 1
    messages = process.communicate(timeout=600)[1].decode(errors="replace")
    codes = {process.returncode}
    if second is not None:
        messages += second.communicate(timeout=600)[1].decode(errors="replace")
        codes.add(second.returncode)
    allowed = EXITS[fault] | {0} if fault != "SIGKILL" else {-9, 0}
    # ended while Python itself was loading the program, which says so in its own way
    early = codes <= {-2, -15}
    found["exit"] = int(not codes <= allowed or ("Traceback" in messages and not early))
    if found["exit"]:
        print(fault, codes, messages[-1500:], file=sys.stderr)
    try:
        for name in _contents(stage.out):
            found["half"] += name not in stage.expected and not name.startswith("weights-")
    except Exception as broken:  # whatever a half file leads its reader to
        found["half"] += 1
        print(fault, repr(broken), file=sys.stderr)
    for path, away in hidden:
        away.rename(path)
    again = subprocess.run(stage.command, capture_output=True, env=_environment(), check=False)
    found["lost"] = int(again.returncode != 0 or _contents(stage.out) != stage.expected)
    left = [path for path in stage.out.rglob(".*") if path.is_file()]
    found["left"] = len(left)
    if found["lost"]:
        print(fault, again.stderr.decode()[-800:], left, file=sys.stderr)
    return found


def _clear(stage: Stage) -> None:
    for path in stage.out.iterdir() if stage.out.exists() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    """Put faults and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", default=list(STAGES))
    parser.add_argument("--faults", type=int, default=8, help="of each kind and stage")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "train")]
    chance = random.Random(0)
    print("stage      fault           put  ended before  half-written  wrong exit  lost  hidden left")
    wrong = 0
    for name in options.stages:
        with tempfile.TemporaryDirectory() as folder:
            stage = prepared(name, Path(folder))
            for fault in FAULTS:
                counts = [disturbed(stage, fault, chance) for _ in range(options.faults)]
                total = {key: sum(count[key] for count in counts) for key in counts[0]}
                wrong += total["half"] + total["exit"] + total["lost"]
                print(
                    f"{name:10} {fault:14} {total['put']:4}  {total['ended before']:12}"
                    f"  {total['half']:12}  {total['exit']:10}  {total['lost']:4}  {total['left']:11}",
                    flush=True,
                )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
