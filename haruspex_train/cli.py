"""The command ``haruspex``: prepare, train, export, evaluate."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from haruspex_infer.errors import HaruspexError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train and evaluate the networks that haruspex-infer runs on cryo-EM maps.",
)

Device = Annotated[str, typer.Option(help="cuda, cuda:N or cpu.")]


@app.command()
def prepare(
    library: Annotated[Path, typer.Argument(help="Folder of the packed library of atomic models.")],
    out: Annotated[Path, typer.Argument(help="Training file to write.")],
) -> None:
    """Give every residue of a library its class and pack what training needs into one file."""
    from haruspex_train.prepare import prepare as run

    run(library, out)


@app.command()
def train(
    configuration: Annotated[str, typer.Argument(help="Name of a configuration, or a TOML file.")],
    atoms: Annotated[Path, typer.Option(help="Training file that 'haruspex prepare' wrote.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run; an earlier run there goes on.")
    ],
    device: Device = "cuda",
    start_from: Annotated[Path | None, typer.Option(help="Weights of another run to begin with.")] = None,
) -> None:
    """Train a network on maps simulated from atomic models."""
    from haruspex_train.configuration import load_configuration
    from haruspex_train.train import train as run

    weights = run(load_configuration(configuration), atoms, out, device, start_from)
    typer.echo(f"Weights: {weights}")


def main() -> None:
    """Run the command line; a fault a person can mend is one sentence and exit code 2."""
    try:
        app()
    except HaruspexError as fault:
        print(f"haruspex: error: {fault}", file=sys.stderr)
        sys.exit(2)
