"""Seeds of everything that a training run draws.

A run that is stopped and goes on must draw what it would have drawn. So nothing draws from one long stream,
whose state would have to be kept; every batch and every chunk of segments begins a stream of its own, whose
seed follows from the run's seed and the place in the run.
"""

import hashlib


def seed_of(seed: int, *place: str | int) -> int:
    """Return the seed of a stream, a number of 63 bits.

    Parameters
    ----------
    seed : int
        Seed of the run.
    place : str or int
        What is drawn, and its number in the run: ``seed_of(0, "batch", 17)``.
    """
    text = " ".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
