"""Training by one and by several GPUs: pace, and how far the results lie apart for the same batches.

    python benchmarks/training_gpus.py ATOMS [--configuration residual] [--gpus 1 2] [--steps 300]

Runs ``haruspex train`` under torchrun for each number of GPUs, with the same configuration and so the same
batch. The first number is run twice: two runs on a GPU differ as well, since sums there have no order, and
training magnifies what differs. Prints steps per second after the first fifth of the steps (compilation), the
losses logged, and the largest difference of the loss from the first run's.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from commandline import add_atoms, parser_of

from haruspex_train.configuration import load_configuration

_WORKER = """
import dataclasses, sys
from pathlib import Path
from haruspex_train.configuration import load_configuration
from haruspex_train.train import Schedule, train
atoms, name, out, steps, every, device = sys.argv[1:]
configuration = dataclasses.replace(load_configuration(name), steps=int(steps))
schedule = Schedule(log_every=int(every), validate_every=int(steps), checkpoint_minutes=1000)
train(configuration, Path(atoms), Path(out), device, None, schedule)
"""


def run(options: argparse.Namespace, processes: int, folder: Path) -> list[dict[str, float]]:
    """Train with a number of processes; return the rows of the log."""
    worker = folder / "worker.py"
    folder.mkdir()
    worker.write_text(_WORKER)
    every = max(1, options.steps // 20)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(processes), str(worker), str(options.atoms), options.configuration, str(folder / "run")]
    command += [str(options.steps), str(every), options.device]
    subprocess.run(command, check=True, timeout=60 * options.minutes, stdout=sys.stderr)
    with (folder / "run" / "log.tsv").open(newline="") as table:
        rows = csv.DictReader(table, delimiter="\t")
        return [{key: float(cell) for key, cell in row.items() if cell} for row in rows]


def main() -> None:
    """Run and print."""
    parser = parser_of(__doc__)
    add_atoms(parser)
    parser.add_argument("--configuration", default="residual")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=4, help="longest time of one run")
    parser.add_argument("--device", default="cuda", help="cpu compares processes without GPUs")
    options = parser.parse_args()
    batch = load_configuration(options.configuration).batch
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    what = f"{options.configuration}, batch {batch}, {options.steps} steps"
    print(f"{what}, {device}, PyTorch {torch.__version__}")
    print("processes  steps/s  first loss  last loss  val_loss  largest difference of a loss from the first")
    first: list[dict[str, float]] = []
    counts = [options.gpus[0], *options.gpus]
    for number, count in enumerate(counts):
        with tempfile.TemporaryDirectory() as folder:
            rows = run(options, count, Path(folder) / f"{number}")
        first = first or rows
        settled = rows[len(rows) // 5]
        pace = (rows[-2]["step"] - settled["step"]) / (rows[-2]["seconds"] - settled["seconds"])
        apart = max(abs(a["loss"] - b["loss"]) for a, b in zip(rows, first, strict=True))
        print(
            f"{count:9}  {pace:7.2f}  {rows[0]['loss']:10.5f}  {rows[-1]['loss']:9.5f}"
            f"  {rows[-1]['val_loss']:8.5f}  {apart:.2e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
