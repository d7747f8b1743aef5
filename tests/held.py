"""``haruspex-infer`` that answers no tile while a file is there: ``command`` runs it so.

Imported elsewhere, as by a worker of Dask, it holds what is done there.
"""

import functools
import os
import sys
import time
from pathlib import Path

from haruspex_infer.session import Session

# Dask loads it more than once
_usual = getattr(Session.run, "__wrapped__", Session.run)


def command(path: Path, *arguments: object) -> dict:
    """Return what starts the program with arguments, held while something is at a path."""
    paths = os.pathsep.join(filter(None, sys.path))
    return {
        "args": [sys.executable, __file__, *map(str, arguments)],
        "env": os.environ | {"PYTHONPATH": paths, "HELD_WHILE": str(path)},
    }


@functools.wraps(_usual)
def _held(*arguments, **options):
    while Path(os.environ["HELD_WHILE"]).exists():
        time.sleep(0.05)
    return _usual(*arguments, **options)


if "HELD_WHILE" in os.environ:
    Session.run = _held  # in the processes that it starts as well

if __name__ == "__main__":
    from haruspex_infer.__main__ import main

    main()
