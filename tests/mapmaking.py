"""A map and a network on disk, for commands that tests and benchmarks run."""

from pathlib import Path

from toys import lump, metadata, pointwise_network

from haruspex_infer.mapfile import Map, write_map_like


def molecule(folder: Path) -> Path:
    """Write a map of a lump of density."""
    density = lump((64, 64, 64))
    path = folder / "lump.mrc"
    write_map_like(Map.from_array(density, 1.1), density, path, "a lump")
    return path


def network(folder: Path) -> Path:
    """Write a network that takes its time: many small tiles."""
    return pointwise_network(folder / "slow.onnx", metadata(tile=8, overlap=0))
