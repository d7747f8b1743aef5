"""What the command lines of the benchmarks share: the help, and how pairs, models and networks are named."""

import argparse
from pathlib import Path

from haruspex_infer.network import DEFAULT_NETWORK


def parser_of(text: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the script's docstring, as it stands."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """Ask for a folder of maps with their models."""
    parser.add_argument("folder", type=Path, help="folder of pairs with INDEX.tsv")


def add_atoms(parser: argparse.ArgumentParser) -> None:
    """Ask for the models that training simulates."""
    parser.add_argument("atoms", type=Path, help="training file that 'haruspex prepare' wrote")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Let a network and a device be chosen."""
    parser.add_argument("--network", default=DEFAULT_NETWORK, help="name or ONNX file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
