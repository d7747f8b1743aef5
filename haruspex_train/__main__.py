"""``python -m haruspex_train``, the same as ``haruspex``."""

from haruspex_infer.ending import run


def _command() -> None:
    from haruspex_train.cli import app

    app()


def main() -> None:
    """Run the command line; a fault a person can mend is one sentence and exit code 2."""
    run(_command, "haruspex")


if __name__ == "__main__":
    main()
