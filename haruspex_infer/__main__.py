"""``python -m haruspex_infer``, the same as ``haruspex-infer``."""

from haruspex_infer.ending import run


def _command() -> None:
    from haruspex_infer.cli import PROGRAM, app

    app(prog_name=PROGRAM)


def main() -> None:
    """Run the command line; a signal is in order from here on, the loading of the program included."""
    run(_command, "haruspex-infer")


if __name__ == "__main__":
    main()
