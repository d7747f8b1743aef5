"""What it costs to start: processor seconds, modules and bytes read, of short commands and of a small map.

    python benchmarks/startup.py [MAP] [--repeats 5]

The seconds are medians on one core, so that threads that wait for each other do not count. Bytes are those
that the process read, whether they came from the disk or not (Linux).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import table

_RUN = """
import sys
from haruspex_infer.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    read = next(line.split()[1] for line in open("/proc/self/io") if line.startswith("rchar"))
    print(len(sys.modules), read, file=sys.stderr)
"""


def start(*arguments: str) -> tuple[float, int, int]:
    """Run a command line; return processor seconds, modules and bytes read."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    assert process.stderr is not None
    modules, read = process.stderr.read().split()[-2:]
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command failed: {' '.join(arguments)}")
    return used.ru_utime + used.ru_stime, int(modules), int(read)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("map", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        commands = [["--version"], ["--help"]]
        if options.map:
            commands.append([str(options.map), "-o", folder, "--no-report", "-q", "--device", "cpu"])
        for command in commands:
            runs = [start(*command) for _ in range(options.repeats)]
            seconds = statistics.median(run[0] for run in runs)
            _, modules, read = runs[-1]
            rows.append([Path(command[0]).name, f"{seconds:.2f}", str(modules), f"{read / 1e6:.1f}"])
    print(table(["command", "CPU s", "modules", "MB read"], rows))


if __name__ == "__main__":
    main()
