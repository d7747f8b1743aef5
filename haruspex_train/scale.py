"""The normalisation of inference, for batches of crops on the device."""

import torch
from torch import Tensor

from haruspex_infer.normalise import Normaliser


def normalise_batch(density: Tensor, voxel_size: Tensor, normaliser: Normaliser) -> Tensor:
    """Normalise each crop as `Normaliser` normalises a map.

    The only difference is the envelope, which is widened by a whole number of voxels, the same for all
    crops of the batch (3 for voxels of 1.0-1.2 Å, as in inference).

    Parameters
    ----------
    density : Tensor (n, z, y, x)
        Crops.
    voxel_size : Tensor (n,)
        Å.
    normaliser : Normaliser
        Parameters.

    Returns
    -------
    Tensor (n, z, y, x)
        Normalised density; a crop without any density above solvent is returned as zeros.
    """
    n = len(density)
    offset = _half_sample_mode(density.view(n, -1)).view(n, 1, 1, 1)
    above = (density - offset).clamp(min=0)
    peak = above.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    relative = above / peak
    cube = relative**3
    core = (cube * relative).sum((1, 2, 3)) / cube.sum((1, 2, 3)).clamp(min=1e-12)
    envelope = (relative > normaliser.core_fraction * core.view(n, 1, 1, 1)).float()[:, None]
    radius = round(normaliser.dilation / float(voxel_size.mean()))
    for axis in range(3):
        window = [1, 1, 1]
        padding = [0, 0, 0]
        window[axis], padding[axis] = 2 * radius + 1, radius
        envelope = torch.nn.functional.max_pool3d(envelope, tuple(window), 1, tuple(padding))
    inside = envelope[:, 0] > 0
    ordered = torch.where(inside, relative, torch.inf).view(n, -1).sort(1).values
    count = inside.view(n, -1).sum(1)
    at = (normaliser.percentile / 100 * (count - 1)).clamp(min=0)
    low = ordered.gather(1, at.floor().long()[:, None])
    high = ordered.gather(1, at.ceil().long()[:, None])
    part = (at - at.floor())[:, None]
    scale = (low + (high - low) * part).view(n, 1, 1, 1) * peak
    usable = torch.isfinite(scale) & (scale > 1e-12)
    normalised = torch.where(usable, (density - offset) / torch.where(usable, scale, 1), 0)
    return normalised.clamp(normaliser.lowest, normaliser.highest)


def _half_sample_mode(values: Tensor) -> Tensor:
    """Half-sample mode of each row; see `haruspex_infer.normalise.half_sample_mode`."""
    ordered = values.sort(1).values
    while ordered.shape[1] > 2:
        length = ordered.shape[1]
        half = (length + 1) // 2
        start = (ordered[:, half - 1 :] - ordered[:, : length - half + 1]).argmin(1, keepdim=True)
        ordered = ordered.gather(1, start + torch.arange(half, device=values.device))
    return ordered.mean(1)
