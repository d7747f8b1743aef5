"""Judged residues made for tests."""

import numpy as np

from haruspex_infer.structure import AMINO_ACID
from haruspex_train.judged import JudgedResidues


def judged(truth, predicted, sigma_level, confidence=0.7):
    """Residues of given truth, prediction and density."""
    n = len(truth)
    probability = np.full((n, 4), (1 - confidence) / 3, np.float32)
    probability[np.arange(n), predicted] = confidence
    return JudgedResidues(
        chain=np.full(n, "A"),
        name=np.full(n, "ALA"),
        number=np.arange(1, n + 1, dtype=np.int32),
        insertion=np.full(n, " "),
        kind=np.full(n, AMINO_ACID, np.uint8),
        truth=np.array(truth, np.uint8),
        predicted=np.array(predicted, np.uint8),
        probability=probability,
        sigma_level=np.array(sigma_level, np.float32),
        b_factor=np.full(n, 30.0, np.float32),
    )
