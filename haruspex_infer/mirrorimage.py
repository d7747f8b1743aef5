"""Asks a network about the mirror image of a map: one that knows the hand annotates the right one.

A network that was shown mirror images in training says little of a map of the wrong hand, and nothing of why.
So where it annotates next to nothing, the middle of the molecule is shown to it both ways.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.network import Contract
from haruspex_infer.occupancy import CELL
from haruspex_infer.outside import UNQUESTIONED, Outside, annotated_share
from haruspex_infer.plan import Plan
from haruspex_infer.session import Session

EDGE = 56
"""Voxels along the edges of the part that is shown at most: enough to tell, and quick."""


def with_mirror_image(found: Outside, plan: Plan, contract: Contract, session: Session) -> Outside:
    """Complete what a map says about itself by what the network says about its mirror image.

    Parameters
    ----------
    found : Outside
    plan : Plan
        Of the map.
    contract : Contract
    session : Session
        The network.

    Returns
    -------
    Outside
        As it is, where the network annotates enough already, or was shown nothing.
    """
    if found.annotated >= UNQUESTIONED or not plan.tiles.tiles:
        return found
    # the device had room for the tiles, and may have none for more
    room = round(plan.tiles.largest ** (1 / 3)) // contract.multiple * contract.multiple - 2 * contract.margin
    part = _part(plan, contract, max(contract.multiple, min(EDGE, room)))
    mirrored = np.ascontiguousarray(part[:, :, ::-1])
    return replace(
        found,
        annotated=_share(part, contract, session),
        annotated_mirrored=_share(mirrored, contract, session),
    )


def _part(plan: Plan, contract: Contract, edge: int) -> NDArray[np.float32]:
    """Cut the normalised density around the middle of the molecule, edges as the network wants them."""
    region, box = plan.survey.region, []
    for axis, n in enumerate(plan.working.shape):
        along = np.cumsum(region.sum(axis=tuple(k for k in range(3) if k != axis)))
        middle = CELL * int(np.searchsorted(along, along[-1] / 2))
        first = max(0, min(middle - edge // 2, n - edge))
        box.append(slice(first, min(n, first + edge)))
    z, y, x = box
    part = contract.normaliser.apply(plan.density[z, y, x], plan.offset, plan.scale)
    # solvent around it, so that what the network sees is all of the part
    edges = [-(-(n + 2 * contract.margin) // contract.multiple) * contract.multiple for n in part.shape]
    room = [((edge - n) // 2, edge - n - (edge - n) // 2) for edge, n in zip(edges, part.shape, strict=True)]
    return np.pad(part, room)


def _share(part: NDArray[np.float32], contract: Contract, session: Session) -> float:
    probabilities = session.run(part[None, None])[0]
    inner = slice(contract.margin, -contract.margin or None)
    return annotated_share(probabilities, part[inner, inner, inner])
