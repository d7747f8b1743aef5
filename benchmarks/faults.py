"""Kills, fills disks, takes folders and inputs away at random moments, and looks for what is lost.

    python benchmarks/faults.py [--faults 8] [STAGE ...]

For each stage and each fault the command is started and the fault put at a random moment:

- SIGKILL, SIGTERM (to the command or to all its processes), Ctrl-C (to all), and Ctrl-C twice;
- full disk: the results go to a file system that holds a random part of them;
- read-only: the file system of the results becomes read-only;
- input gone: an input is renamed; two runs: the command is started again while it runs.

Then every file that has its final name must be whole (it is opened and read), the exit code and the last
line must say what happened and nothing else complain, and the command run again, with nothing in its way,
must end with the files of an undisturbed run and no others. Prints a row for each stage and fault: faults
put, runs that had ended before, half-written files, wrong exit codes or complaints, results lost, and
hidden files that stay after the next run, or even before it where the command was asked to end. The last
four are to be 0. Everything is made here, in a temporary folder; the results lie in file systems in memory,
which Linux lets root mount, and everybody under ``unshare -rm``.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = [ROOT / "tests", ROOT / "tests" / "infer", ROOT / "tests" / "train"]
CTRL_C = ("Ctrl-C", "Ctrl-C twice")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, **dict.fromkeys(CTRL_C, signal.SIGINT)}
ENDINGS = {"SIGKILL": {-9}, "SIGTERM": {143}, **{fault: {130} for fault in CTRL_C}}
LAST_WORDS = {"SIGTERM": ": terminated", **dict.fromkeys(CTRL_C, ": interrupted")}
COMPLAINTS = ("Traceback", "Exception ignored", "terminate called")
FAULTS = (*SIGNALS, "full disk", "read-only", "input gone", "two runs")
COUNTS = ("put", "ended before", "half-written", "wrong exit", "lost", "hidden left")
AMPLE = "1g"


@dataclass(frozen=True)
class Stage:
    """One command, its inputs and the folder of its results."""

    command: list[str]
    inputs: tuple[Path, ...]
    out: Path
    seconds: float = 0.0
    expected: dict[str, str] = field(default_factory=dict)
    size: int = 0


def haruspex(*arguments: object) -> list[str]:
    """Return a command of the program that trains."""
    return [sys.executable, "-m", "haruspex_train", *map(str, arguments)]


def inference(folder: Path, out: Path) -> Stage:
    """Annotate a small map with a network for tests."""
    from mapmaking import molecule, network

    density, model = molecule(folder), network(folder)
    program = [sys.executable, "-m", "haruspex_infer", str(density), "--network", str(model)]
    return Stage([*program, "--device", "cpu", "-o", str(out), "--no-report"], (density,), out)


def curation(folder: Path, out: Path) -> Stage:
    """Measure and judge three pairs of map and model."""
    pairs = _pairs(folder)
    return Stage(haruspex("curate", pairs, "-o", out, "--workers", 2), _maps(pairs), out)


def annotation(folder: Path, out: Path) -> Stage:
    """Write the ground truth of three pairs."""
    pairs = _pairs(folder)
    return Stage(haruspex("annotate", pairs, "-o", out, "--workers", 2), _maps(pairs), out)


def segments(folder: Path, out: Path) -> Stage:
    """Write the training segments of three pairs."""
    pairs, truth = _pairs(folder), folder / "truth"
    _done(haruspex("annotate", pairs, "-o", truth, "--workers", 1))
    where = ("--split", "val", "--annotated", 0.001, "--workers", 2)
    return Stage(haruspex("segment", pairs, truth, "-o", out, *where), _maps(pairs), out)


def training(folder: Path, out: Path) -> Stage:
    """Train a tiny network for a few steps, with a checkpoint after each."""
    from packing import pack
    from tiny import SPLITS, models

    from haruspex_train.prepare import prepare

    atoms = folder / "training.npz.xz"
    pack(folder, models(), SPLITS)
    prepare(folder, atoms, workers=1)
    tiny = ROOT / "tests" / "train" / "tiny_run.py"
    return Stage([sys.executable, str(tiny), str(atoms), str(out)], (atoms,), out)


def merge(folder: Path, out: Path) -> Stage:
    """Take the mean of snapshots of a training run."""
    snapshots = tuple(_trained(folder) / f"weights-{step}.pt" for step in (5, 10))
    return Stage(haruspex("merge", *snapshots, "-o", out / "merged.pt"), snapshots, out)


def export(folder: Path, out: Path) -> Stage:
    """Export a network as ONNX."""
    weights = _trained(folder) / "weights.pt"
    return Stage(haruspex("export", weights, out / "tiny.onnx"), (weights,), out)


def calibration(folder: Path, out: Path) -> Stage:
    """Calibrate a network on three maps, and keep their annotations."""
    from pairing import network

    pairs, model = _pairs(folder), network(folder / "network.onnx")
    kept = ("--annotations", out / "kept", "--device", "cpu")
    return Stage(haruspex("calibrate", model, pairs, out / "better.onnx", *kept), _maps(pairs), out)


STAGES: dict[str, Callable[[Path, Path], Stage]] = {
    stage.__name__: stage
    for stage in (inference, curation, annotation, segments, training, merge, export, calibration)
}


def _pairs(folder: Path) -> Path:
    """Write three pairs of a helix and its density."""
    from test_annotate import HEAD, write_pair

    pairs = folder / "pairs"
    pairs.mkdir()
    rows = [write_pair(pairs, f"EMD-{number}", 1.1, 64 + number) for number in range(3)]
    (pairs / "INDEX.tsv").write_text("\n".join([HEAD, *rows]) + "\n")
    return pairs


def _maps(pairs: Path) -> tuple[Path, ...]:
    return tuple(sorted(pairs.glob("*.mrc")))


def _trained(folder: Path) -> Path:
    run = training(folder, folder / "run")
    _done(run.command)
    return run.out


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that nothing disturbs."""
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"{command} fails undisturbed: {done.stderr[-500:]}")
    return done


def _environment() -> dict[str, str]:
    paths = [ROOT, *TESTS, os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}


def contents(out: Path) -> dict[str, str]:
    """Digest of every file with its final name, apart from times; raises where one is not whole."""
    return {
        str(path.relative_to(out)): _digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        told = json.loads(content)
        timeless = {key: value for key, value in told.items() if "seconds" not in key}
        content = json.dumps(timeless, sort_keys=True).encode()
    elif path.suffix == ".pt":
        import torch

        state = torch.load(path, weights_only=True)
        kept = state.get("network", state.get("weights"))
        content = b"".join(t.numpy().tobytes() for t in kept.values()) + str(state["step"]).encode()
    elif path.suffix == ".onnx":
        from haruspex_infer.onnxfile import read_metadata, read_network

        told = json.loads(read_metadata(read_network(path), "haruspex") or "")
        told.get("training", {}).pop("seconds", None)
        content = json.dumps(told, sort_keys=True).encode() + str(len(content)).encode()
    elif path.suffix == ".mrc":
        from haruspex_infer.mapfile import read_map

        content = read_map(path).density.tobytes()
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path) as store:
            content = b"".join(store[name][:].tobytes() for name in sorted(store))
    elif path.name == "log.tsv":
        rows = [row.split("\t") for row in content.decode().splitlines()]
        content = repr([row[:1] + row[2:] for row in rows]).encode()
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def file_system(place: Path, size: str = AMPLE) -> Iterator[None]:
    """Mount an empty file system in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _remount(place: Path, how: str) -> bool:
    """Change a mounted file system; whether that was possible, since files that are open forbid it."""
    done = subprocess.run(["mount", "-o", f"remount,{how}", place], capture_output=True, check=False)
    return done.returncode == 0


def prepared(name: str, folder: Path) -> Stage:
    """Make the inputs of a stage, and run it once undisturbed."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    made = STAGES[name](folder / "in", folder / "out")
    with file_system(made.out):
        began = time.perf_counter()
        _done(made.command)
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in made.out.rglob("*"))
        return Stage(made.command, made.inputs, made.out, seconds, contents(made.out), size)


def disturbed(stage: Stage, fault: str, chance: random.Random, longest: float) -> dict[str, int]:
    """Put one fault within so many seconds; return what was found wrong."""
    room = str(max(4096, int(stage.size * chance.uniform(0, 1)))) if fault == "full disk" else AMPLE
    with file_system(stage.out, room):
        found = dict.fromkeys(COUNTS, 0)
        runs = [_start(stage)]
        if fault == "full disk":
            found["put"] = 1
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                runs[0].wait(chance.uniform(0, longest))
            found["put" if runs[0].poll() is None else "ended before"] = 1
        moved = _put(fault, stage, runs, chance) if found["put"] else []
        messages = "".join(run.communicate(timeout=600)[1] for run in runs)
        codes = {run.returncode for run in runs}
        allowed = ENDINGS.get(fault, {2}) | {0}
        # by the signal itself: it came before Python had set its handlers
        early = codes <= {-SIGNALS[fault]} if fault in SIGNALS else False
        complains = any(words in messages for words in COMPLAINTS)
        silent = codes <= {130, 143} and not messages.rstrip().endswith(LAST_WORDS.get(fault, ""))
        found["wrong exit"] = int(not early and (not codes <= allowed or complains or silent))
        left = _hidden(stage.out) if fault in LAST_WORDS else []
        if found["wrong exit"]:
            print(fault, codes, messages[-2500:], file=sys.stderr)
        try:
            contents(stage.out)
        except Exception as broken:  # whatever a half file leads its reader to
            found["half-written"] = 1
            print(fault, repr(broken), file=sys.stderr)
        for path in moved:
            path.with_suffix(".gone").rename(path)
        _remount(stage.out, f"rw,size={AMPLE}")
        again = subprocess.run(stage.command, capture_output=True, text=True, env=_environment(), check=False)
        left += _hidden(stage.out)
        now = contents(stage.out)
        found["lost"] = int(again.returncode != 0 or now != stage.expected)
        found["hidden left"] = len(left)
        if found["lost"] or left:
            differing = {name for name, digest in now.items() if stage.expected.get(name) != digest}
            missing = stage.expected.keys() - now.keys()
            print(fault, codes, again.stderr[-800:], differing, missing, left, file=sys.stderr)
    return found


def _hidden(out: Path) -> list[Path]:
    return [path for path in out.rglob(".*") if path.is_file()]


def _start(stage: Stage) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        stage.command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
        start_new_session=True,
    )


def _put(fault: str, stage: Stage, runs: "list[subprocess.Popen[str]]", chance: random.Random) -> list[Path]:
    """Put a fault while the command runs; return the inputs that it moved away."""
    if fault in SIGNALS:
        everyone = fault in CTRL_C or (fault == "SIGTERM" and chance.random() < 0.5)
        (os.killpg if everyone else os.kill)(runs[0].pid, SIGNALS[fault])
        if fault == "Ctrl-C twice":
            time.sleep(chance.uniform(0, 0.2))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(runs[0].pid, SIGNALS[fault])
    elif fault == "read-only":
        while not _remount(stage.out, "ro") and runs[0].poll() is None:
            time.sleep(0.001)
    elif fault == "input gone":
        path = chance.choice(stage.inputs)
        path.rename(path.with_suffix(".gone"))
        return [path]
    elif fault == "two runs":
        runs.append(_start(stage))
    return []


def main() -> None:
    """Put faults and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--faults", type=int, default=8, help="of each kind and stage")
    options = parser.parse_args()
    sys.path[:0] = map(str, TESTS)
    chance = random.Random(0)
    wrong = 0
    print("| stage | fault | " + " | ".join(COUNTS) + " |\n|---|---|" + "---|" * len(COUNTS))
    for name in options.stages or STAGES:
        with tempfile.TemporaryDirectory() as folder:
            stage = prepared(name, Path(folder))
            for fault in FAULTS:
                total, longest = dict.fromkeys(COUNTS, 0), 0.95 * stage.seconds
                while total["put"] < options.faults:
                    found = disturbed(stage, fault, chance, longest)
                    longest *= 0.7 ** found["ended before"]  # the machine is faster than it was
                    total = {count: total[count] + found[count] for count in COUNTS}
                wrong += sum(total[count] for count in COUNTS[2:])
                print(f"| {name} | {fault} | " + " | ".join(map(str, total.values())) + " |", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
