"""A map and a network on disk, for commands that tests and benchmarks run."""

from pathlib import Path

from toys import lump, valid_network

from haruspex_infer.mapfile import Map, write_map_like


def molecule(folder: Path) -> Path:
    """Write a map of a lump of density."""
    density = lump((112, 112, 112))
    path = folder / "lump.mrc"
    write_map_like(Map.from_array(density, 1.1), density, path, "a lump")
    return path


def network(folder: Path) -> Path:
    """Write a network that takes its time: a wide kernel."""
    return valid_network(folder / "slow.onnx", margin=7)
