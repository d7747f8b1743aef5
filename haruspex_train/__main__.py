"""``python -m haruspex_train``, the same as ``haruspex``."""

from haruspex_infer.ending import run
from haruspex_infer.errors import HaruspexError


def _command() -> None:
    from haruspex_train.cli import app

    try:
        app()
    except ModuleNotFoundError as fault:
        raise HaruspexError(
            f"This needs {fault.name}, which is not installed; in a copy of the repository, "
            "pip install './haruspex_train[train]' brings it."
        ) from fault


def main() -> None:
    """Run the command line; a fault a person can mend is one sentence and exit code 2."""
    run(_command, "haruspex")


if __name__ == "__main__":
    main()
