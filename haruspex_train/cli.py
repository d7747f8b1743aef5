"""The command ``haruspex``: data, training, export, evaluation."""

from pathlib import Path
from typing import Annotated

import typer

from haruspex_train import data_commands

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train and evaluate the networks that haruspex-infer runs on cryo-EM maps.",
)
app.add_typer(data_commands.app)


@app.command()
def prepare(
    models: Annotated[
        Path, typer.Argument(help="Folder with PDB or mmCIF files in 'train' and 'val', or a packed library.")
    ],
    out: Annotated[Path, typer.Argument(help="Training file to write.")],
) -> None:
    """Give every residue of atomic models its class and pack what training needs into one file."""
    from haruspex_train.prepare import prepare as run

    counts = run(models, out)
    typer.echo(f"{out}: " + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in counts.items()))


@app.command()
def train(
    configuration: Annotated[str, typer.Argument(help="Name of a configuration, or a TOML file.")],
    atoms: Annotated[Path, typer.Option(help="Training file that 'haruspex prepare' wrote.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run; an earlier run there goes on.")
    ],
    device: Annotated[str, typer.Option(metavar="cuda[:N]|cpu", help="Where to train.")] = "cuda",
    start_from: Annotated[Path | None, typer.Option(help="Weights of another run to begin with.")] = None,
    segments: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Experimental segments of 'haruspex segment'.")
    ] = None,
    segment_share: Annotated[
        float | None, typer.Option(help="Share of the crops that are cut out of them, such as 0.2.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of all that is drawn, in place of the configuration's.")
    ] = None,
) -> None:
    """Train a network on maps simulated from atomic models."""
    from haruspex_train.configuration import changed, load_configuration
    from haruspex_train.train import train as run

    chosen = load_configuration(configuration)
    if segment_share is not None:
        chosen = changed(chosen, segment_share=segment_share)
    if seed is not None:
        chosen = changed(chosen, seed=seed)
    weights = run(chosen, atoms, out, device, start_from, segments=segments)
    typer.echo(f"Weights: {weights}")


@app.command()
def merge(
    snapshots: Annotated[
        list[Path],
        typer.Argument(help="weights.pt or weights-STEP.pt of one run, or of runs with a common start."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights to write.")],
    other_odds: Annotated[
        float, typer.Option(help="Factor on the odds of 'other': under 1, more is annotated.")
    ] = 1.0,
) -> None:
    """Take the mean of weights, which carries over better to experimental maps than the end of a run."""
    from haruspex_train.merge import merge as run

    run(snapshots, out, other_odds)


@app.command()
def export(
    weights: Annotated[Path, typer.Argument(help="weights.pt of a training run.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="Network to write, named after the file.")],
    atoms: Annotated[
        Path | None,
        typer.Option(help="Training file: the check then compares on crops simulated from it as well."),
    ] = None,
) -> None:
    """Write a trained network as ONNX for haruspex-infer, checked against PyTorch."""
    from haruspex_train.export import BOUND, simulated_crops
    from haruspex_train.export import export as run

    worst = run(weights, out, None if atoms is None else simulated_crops(atoms))
    typer.echo(f"{out}: probabilities differ from PyTorch's by at most {worst:.1e} (bound {BOUND:g})")


@app.command()
def calibrate(
    network: Annotated[str, typer.Argument(help="Name of a network that ships, or an ONNX file.")],
    folder: Annotated[Path, typer.Argument(help="Folder of maps and models with INDEX.tsv; val is used.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="Network to write.")],
    class_odds: Annotated[
        bool, typer.Option("--class-odds", help="Fit odds of the classes too: moves recall and precision.")
    ] = False,
    annotations: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that keeps annotations, as evaluate does.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where the network runs.")
    ] = "auto",
) -> None:
    """Correct a network's probabilities by maps it was not trained on; prints what that does to each."""
    from haruspex_train.calibrate import calibrate as run

    result = run(network, folder, out, class_odds, device, annotations)
    typer.echo(result.markdown(), nl=False)
    typer.echo(f"{out} written" if result.helps else "No gain on maps left out of the fit: nothing written")


@app.command()
def evaluate(
    network: Annotated[str, typer.Argument(help="Name of a network that ships, or an ONNX file.")],
    folder: Annotated[Path, typer.Argument(help="Folder of maps and models with INDEX.tsv.")],
    split: Annotated[
        str, typer.Option(help="val to choose networks by, test for the final figure only.")
    ] = "val",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for tables and JSON.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where the network runs.")
    ] = "auto",
    against: Annotated[
        str | None, typer.Option(metavar="NETWORK", help="Another network: how much better is the first?")
    ] = None,
) -> None:
    """Compare a network's annotation of experimental maps with their models; prints Markdown tables."""
    from haruspex_train.evaluate import evaluate_against, evaluate_pairs
    from haruspex_train.scoreboard import PairScore

    def tell(score: PairScore) -> None:
        typer.echo(score.line(), err=True)

    if against is None:
        typer.echo(evaluate_pairs(network, folder, split, out, device, tell).markdown(), nl=False)
    else:
        typer.echo(evaluate_against(network, against, folder, split, out, device, tell), nl=False)
