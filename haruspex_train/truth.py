"""What simulated and experimental ground truth have in common."""

REACH = 3.0
"""Å from a backbone atom within which voxels take its class (paper, Methods)."""

IGNORE = 255
"""Truth of residues or voxels that count neither for nor against anybody."""
