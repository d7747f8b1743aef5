"""What the fall of a map's amplitudes with resolution tells: how much detail it holds, how large voxels are.

Backbones pack alike in all proteins. Around 4.5 Å, the distance of strands and of the turns of helices, the
amplitudes are high, and around 6.5 Å they are low; blurring and sharpening lay a straight line over the
logarithm and leave both where they are. A map that has them elsewhere states a voxel size not its own.
"""

import math

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid

LARGEST = 160
"""Voxels along an edge; of larger boxes the middle is cut out."""

# fmt: off
PROFILE = np.array([
    0.223, 0.193, 0.170, 0.129, 0.087, 0.064, 0.025, -0.013, -0.028, -0.074, -0.077, -0.097, -0.128, -0.131,
    -0.147, -0.150, -0.154, -0.142, -0.128, -0.112, -0.085, -0.043, 0.010, 0.061, 0.116, 0.150, 0.158, 0.138,
    0.099, 0.043, -0.032, -0.125,
])
# fmt: on
"""Logarithm of amplitudes at `PLACES`, less the line over squared frequency that fits best.

The mean over 40 proteins at 3.3 Å: ``benchmarks/voxel_size.py LIBRARY --profile``.
"""

PLACES = np.linspace(math.log(1 / 11), math.log(1 / 4), len(PROFILE))
"""Logarithm of frequency, 1/Å."""

SCALES = 1.25 ** (np.arange(-12, 13) / 6)
"""Multiples of their true size at which features are looked for, 0.64 to 1.56."""

_FINE, _COARSE = (4.2, 5.0), (9.0, 14.0)  # Å
_TAPER = 8  # voxels over which a cut box fades
_SHELL = 0.02  # of the logarithm of frequency
_LONGEST = 30.0  # Å
_ALIKE = 0.7  # correlation with the profile; without it nothing is said


def radial(density: NDArray[np.float32], grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequency (1/Å) and power of every Fourier coefficient of density, in one row."""
    box = density
    for axis, n in enumerate(density.shape):
        if n == LARGEST:  # cut out of a larger box: without fading, the cut itself is fine detail
            box = box * _fade(axis)
    power = np.square(np.abs(np.fft.rfftn(box)))
    squares = np.zeros(power.shape)
    for axis, (n, edge) in enumerate(zip(box.shape, grid.voxel_size, strict=True)):
        frequency = np.fft.rfftfreq(n, edge) if axis == 2 else np.fft.fftfreq(n, edge)
        squares += np.square(frequency).reshape([-1 if k == axis else 1 for k in range(3)])
    return np.sqrt(squares).ravel(), power.ravel()


def detail(frequency: NDArray[np.float64], power: NDArray[np.float64]) -> float:
    """Amplitude at 4.2-5 Å over that at 9-14 Å.

    Not a number where the box is too small for the latter.
    """
    fine, coarse = (power[(frequency >= 1 / high) & (frequency < 1 / low)] for low, high in (_FINE, _COARSE))
    if not fine.size or not coarse.size or not coarse.any():
        return math.nan
    return math.sqrt(float(fine.mean()) / float(coarse.mean()))


def feature_size(frequency: NDArray[np.float64], power: NDArray[np.float64]) -> tuple[float, float]:
    """Find the size of a map's features.

    Parameters
    ----------
    frequency, power : ndarray
        From `radial`.

    Returns
    -------
    scale : float
        Size of the features as a multiple of their true one: that at which the map is most like the profile.
        Not a number where it is nowhere like it.
    gain : float
        By how much the correlation with the profile is higher there than at the true size.
    """
    shells = _shells(frequency, power)
    alike = [_correlation(_placed(*shells, size)) for size in SCALES]
    best = int(np.argmax(alike))
    if alike[best] < _ALIKE:
        return math.nan, math.nan
    return float(SCALES[best]), alike[best] - alike[len(SCALES) // 2]


def at(frequency: NDArray[np.float64], power: NDArray[np.float64], size: float = 1.0) -> NDArray[np.float64]:
    """Logarithm of amplitudes at `PLACES` of features of another size, less the line that fits best.

    Not numbers where the map does not reach as far.
    """
    return _placed(*_shells(frequency, power), size)


def _shells(
    frequency: NDArray[np.float64], power: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of frequency and of amplitude, averaged in shells; none where nothing is held."""
    held = (frequency > 1 / _LONGEST) & (power > 0)
    if not held.any():
        return np.empty(0), np.empty(0)
    logarithm = np.log(frequency[held])
    shell = np.floor(logarithm / _SHELL).astype(np.int64)
    shell -= shell.min()
    count = np.bincount(shell)
    filled = count > 0
    where = np.bincount(shell, logarithm)[filled] / count[filled]
    return where, np.log(np.bincount(shell, power[held])[filled] / count[filled]) / 2


def _placed(where: NDArray[np.float64], mean: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    if not len(where):
        return np.full(len(PLACES), np.nan)
    values = np.interp(PLACES - math.log(size), where, mean, left=np.nan, right=np.nan)
    line = np.stack([np.ones(len(PLACES)), np.exp(2 * PLACES)], axis=1)
    basis = np.linalg.qr(line)[0]
    return values - basis @ (basis.T @ values)


def _correlation(values: NDArray[np.float64]) -> float:
    """Cosine with the profile; below all others where values are not known."""
    cosine = float(values @ PROFILE / np.sqrt((values @ values) * (PROFILE @ PROFILE)))
    return cosine if math.isfinite(cosine) else -1.0


def _fade(axis: int) -> NDArray[np.float32]:
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_TAPER) + 0.5) / _TAPER)
    weight = np.concatenate([ramp, np.ones(LARGEST - 2 * _TAPER), ramp[::-1]]).astype(np.float32)
    return weight.reshape([-1 if k == axis else 1 for k in range(3)])
