"""Figures on held-out simulated crops, the same crops throughout a run."""

import torch
from torch import Tensor, nn

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_train.configuration import Configuration
from haruspex_train.labels import plain
from haruspex_train.library import TrainingAtoms
from haruspex_train.losses import cross_entropy
from haruspex_train.simulate import Simulator

SEED = 2020
CROPS = 192


class HeldOut:
    """Crops simulated from the library's ``val`` entries.

    Parameters
    ----------
    atoms : TrainingAtoms
        Atoms of the ``val`` split.
    configuration : Configuration
        Its simulation settings and crop size are used.
    device : torch.device
        Where crops and network live.
    crops : int
        How many.
    """

    def __init__(
        self, atoms: TrainingAtoms, configuration: Configuration, device: torch.device, crops: int = CROPS
    ) -> None:
        # one seed for all configurations: with the same ranges and crops their figures are comparable
        simulator = Simulator(atoms, configuration.crop, device, SEED, configuration.simulation)
        step = configuration.batch
        batches = [simulator.batch(min(step, crops - k)) for k in range(0, crops, step)]
        self._batches = [(b.density[:, None], b.labels) for b in batches]
        self._weights = torch.tensor(configuration.weights, device=device)

    @torch.no_grad()
    def figures(self, network: nn.Module) -> dict[str, float]:
        """Measure loss, recall and precision over the molecule's voxels, and F1 of each class.

        Recall and precision follow the paper's counting, voxel by voxel: another class than the true one is
        a false positive, *other* in place of a class a false negative; voxels far from any backbone are left
        out, since residues are judged at their backbone.
        """
        was_training = network.training
        network.eval()
        confusion = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.long, device=self._weights.device)
        losses = []
        for density, labels in self._batches:
            with torch.autocast(density.device.type, torch.bfloat16, enabled=density.is_cuda):
                logits = network(density).float()
            cut = (labels.shape[-1] - logits.shape[-1]) // 2
            if cut:
                labels = labels[:, cut:-cut, cut:-cut, cut:-cut]
            losses.append(cross_entropy(logits, labels, self._weights))
            confusion += _confusion(logits.argmax(1), plain(labels))
        network.train(was_training)
        right = confusion.diagonal()[1:].sum().item()
        missed = confusion[1:, OTHER.number].sum().item()
        false = confusion[:, 1:].sum().item() - right
        f1 = 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1)).clamp(min=1)
        return {
            "val_loss": float(torch.stack(losses).mean()),
            "val_recall": right / max(1, right + missed),
            "val_precision": right / max(1, right + false),
            "val_f1_helix": float(f1[HELIX.number]),
            "val_f1_strand": float(f1[STRAND.number]),
            "val_f1_nucleotide": float(f1[NUCLEOTIDE.number]),
        }


def _confusion(called: Tensor, labels: Tensor) -> Tensor:
    """Count (truth, called) over voxels near a backbone."""
    n = len(CLASSES)
    judged = (labels > OTHER.number) & (labels <= n)  # the classes and coil
    truth = labels[judged].long() % n  # coil, which is n, counts as other
    return torch.bincount(truth * n + called[judged], minlength=n * n).view(n, n)
