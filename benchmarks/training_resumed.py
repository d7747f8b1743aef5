"""Whether a training run that is killed and goes on ends with the weights of one that is not.

    python benchmarks/training_resumed.py ATOMS [--device cuda] [--steps 60] [--kills 3]

Trains twice undisturbed, and once killed (SIGKILL) at random moments and started again. Prints the largest
difference of any weight from the first run for both: on a CPU both are 0; on a GPU sums have no order, and
the difference of the second undisturbed run is what that alone does.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from commandline import add_atoms, parser_of

_WORKER = """
import dataclasses, sys
from pathlib import Path
from haruspex_train.configuration import load_configuration
from haruspex_train.train import Schedule, train
atoms, name, device, out, steps, batch = sys.argv[1:]
c = load_configuration(name)
batch = int(batch) or c.batch
c = dataclasses.replace(c, steps=int(steps), batch=batch, pool=min(c.pool, 8 * batch))
schedule = Schedule(log_every=1, validate_every=10**9, checkpoint_minutes=0.02)
train(c, Path(atoms), Path(out), device, None, schedule)
"""


def weights(folder: Path) -> torch.Tensor:
    """Return the weights that train, in full precision."""
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["network"]
    return torch.cat([t.flatten().float() for t in state.values()])


def main() -> None:
    """Train and print."""
    parser = parser_of(__doc__)
    add_atoms(parser)
    parser.add_argument("--configuration", default="residual")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=0, help="another batch than the configuration's")
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        base = [sys.executable, "-c", _WORKER, str(options.atoms), options.configuration, options.device]
        end = [str(options.steps), str(options.batch)]
        took = []
        for name in ("first", "second"):
            began = time.perf_counter()
            subprocess.run([*base, f"{root}/{name}", *end], check=True, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - began)
        kills = 0
        chance = random.Random(0)
        while kills < options.kills:
            process = subprocess.Popen([*base, f"{root}/killed", *end], stdout=subprocess.DEVNULL)
            try:
                process.wait(chance.uniform(0.3, 0.9) * min(took))
                break  # it had come so far that it ended before
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        subprocess.run([*base, f"{root}/killed", *end], check=True, stdout=subprocess.DEVNULL)
        first, second, killed = (weights(Path(root) / name) for name in ("first", "second", "killed"))
    print(f"{options.configuration} on {options.device}, {options.steps} steps, {kills} kills")
    print(f"another undisturbed run differs by {(second - first).abs().max():.3g}")
    print(f"the run that was killed differs by {(killed - first).abs().max():.3g}")


if __name__ == "__main__":
    main()
