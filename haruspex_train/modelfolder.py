"""Atomic models in files of their own, as people have them, in place of a packed library."""

from pathlib import Path

import gemmi

from haruspex_infer.errors import HaruspexError
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.library import SPLITS


class ModelFolder:
    """PDB and mmCIF files, plain or gzipped, in the folders ``train`` and ``val`` and in folders therein.

    Which models judge networks is for their owner to say: a homologue of a model that is trained on would
    judge too kindly.

    Parameters
    ----------
    folder : path
        Folder that holds both.

    Raises
    ------
    HaruspexError
        If there is no model in one of them, or two have the same name.
    """

    def __init__(self, folder: str | Path) -> None:
        self._paths: dict[str, dict[str, Path]] = {split: {} for split in SPLITS}
        seen: dict[str, Path] = {}
        for split, paths in self._paths.items():
            inside = Path(folder) / split
            for path in _model_files(inside):
                name = path.name.removesuffix(".gz").rpartition(".")[0]
                if name in seen:
                    raise HaruspexError(f"{seen[name]} and {path} have the same name: remove or rename one.")
                seen[name] = paths[name] = path
            if not paths:
                raise HaruspexError(
                    f"There are no PDB or mmCIF files in {inside}: {folder} needs models to train on in "
                    "'train' and others to judge networks by in 'val'."
                )

    def ids(self, split: str) -> list[str]:
        """Names of the models of a split, those of their files."""
        return list(self._paths[split])

    def structure(self, name: str) -> Structure:
        """Atoms and residues of one model.

        Raises
        ------
        HaruspexError
            If its file cannot be read or holds neither amino acids nor nucleotides.
        """
        path = next(paths[name] for paths in self._paths.values() if name in paths)
        structure = read_structure(path)
        if not structure.backbone.any():
            raise HaruspexError(f"{path} holds neither amino acids nor nucleotides: leave it out.")
        return structure


def _model_files(folder: Path) -> list[Path]:
    """Return all model files in a folder and below, sorted; hidden ones are left out."""
    if not folder.is_dir():
        return []
    found = map(Path, gemmi.CoorFileWalk(str(folder)))
    return sorted(path for path in found if not path.name.startswith("."))
