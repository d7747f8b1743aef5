"""Calibrates a network on experimental maps it was not trained on, inside its ONNX file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from haruspex_infer.annotator import Annotator
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import written_whole
from haruspex_infer.network import METADATA_KEY, find_network
from haruspex_infer.onnxfile import read_network, seal
from haruspex_infer.structure import read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.calibration import Cases, Correction, LeftOut, cases, fit, left_out
from haruspex_train.export import refuse_target
from haruspex_train.figures import spread
from haruspex_train.pairs import read_pairs
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import residue_classes

_FEWEST = 50  # residues; the calibration of fewer is chance


@dataclass(frozen=True)
class Calibration:
    """A correction fitted to all maps, and what it did to each map when that one was left out."""

    correction: Correction
    left_out: list[LeftOut]

    @property
    def helps(self) -> bool:
        """Whether maps that were left out became more likely in the mean."""
        gains = [part.surprise_before - part.surprise_after for part in self.left_out]
        return float(np.mean(gains)) > 0

    def markdown(self) -> str:
        """Before and after, map by map, each corrected by the fit to the others."""
        heads = ("calibration error", "by chance alone", "−log likelihood", "recall", "precision")
        lines = [f"| map | temperature | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
        before, after = [], []
        for part in self.left_out:
            before.append(_row(part, after=False))
            after.append(_row(part, after=True))
            cells = _cells(before[-1], after[-1])
            lines.append(f"| {part.name} | {part.correction.temperature:.3f} | {cells} |")
        medians = [[spread(column).median for column in zip(*rows, strict=True)] for rows in (before, after)]
        lines.append(f"| **median** | {self.correction.temperature:.3f} (all maps) | {_cells(*medians)} |")
        return "\n".join(lines) + "\n"


def calibrate(
    network: str | Path,
    folder: str | Path,
    out: Path,
    class_odds: bool = False,
    device: str = "auto",
    annotations: Path | None = None,
) -> Calibration:
    """Write a network whose probabilities are corrected, if that helps maps that had no part in it.

    Parameters
    ----------
    network : str or path
        Name of a network that ships, or an ONNX file.
    folder : path
        Folder of pairs; the maps of its ``val`` split of 4 Å or better are used.
    out : path
        ONNX file to write. Nothing is written where left-out maps become no more likely.
    class_odds : bool
        Whether odds of the classes are fitted too; that moves the network between recall and precision.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    annotations : path, optional
        Folder for annotations, such as ``haruspex evaluate`` keeps in ``OUT/annotations``.

    Returns
    -------
    Calibration

    Raises
    ------
    HaruspexError
        If a file cannot be used, or fewer than two maps can be.
    """
    refuse_target(out)
    path = find_network(network)
    found = read_cases(Annotations(Annotator(path, device), annotations), folder)
    if len(found) < 2:
        raise HaruspexError(f"{folder} holds {len(found)} map to calibrate on; two or more are needed.")
    result = Calibration(fit(found, class_odds), left_out(found, class_odds))
    if result.helps:
        write_corrected(path, result.correction, out, [part.name for part in found])
    return result


def read_cases(annotations: Annotations, folder: str | Path) -> list[Cases]:
    """Annotate the ``val`` maps of 4 Å or better that have residues enough."""
    found = []
    for pair in read_pairs(folder, "val"):
        if pair.resolution > RESOLUTION_LIMIT:
            continue
        seen = annotations.of(pair.map_path)
        structure = read_structure(pair.model_paths)
        classes = residue_classes(structure)
        part = cases(pair.name, seen.probabilities, seen.map.density, seen.map.grid, structure, classes)
        if len(part.truth) >= _FEWEST:
            found.append(part)
    return found


def write_corrected(network: Path, correction: Correction, out: Path, maps: Sequence[str]) -> None:
    """Write a network with a correction in its last layer, and note it in the metadata.

    Raises
    ------
    HaruspexError
        If the network does not end in a convolution and softmax, or the file cannot be written.
    """
    model = onnx.load_model_from_string(read_network(network))
    fold(model, correction, str(network))
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            about = {
                "temperature": round(correction.temperature, 4),
                "log_odds": [round(odds, 4) for odds in correction.log_odds],
                "maps": list(maps),
            }
            entry.value = json.dumps(json.loads(entry.value) | {"name": out.stem, "calibration": about})
    with written_whole(out) as stream:
        stream.write(seal(model.SerializeToString()))


def fold(model: onnx.ModelProto, correction: Correction, name: str) -> None:
    """Build a correction into the convolution before the final softmax: it costs nothing in inference.

    Raises
    ------
    HaruspexError
        If the network does not end so.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    softmax = made_by.get("probabilities")
    head = made_by.get(softmax.input[0]) if softmax is not None and softmax.op_type == "Softmax" else None
    if head is None or head.op_type != "Conv" or len(head.input) != 3:
        raise HaruspexError(f"{name} does not end in a convolution and softmax, so it cannot be calibrated.")
    weight, bias = (stored[_stored_name(tensor, made_by)] for tensor in head.input[1:])
    for tensor, shift in ((weight, 0.0), (bias, np.array(correction.log_odds))):
        values = numpy_helper.to_array(tensor)
        changed = (values.astype(np.float64) / correction.temperature + shift).astype(values.dtype)
        tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def _stored_name(tensor: str, made_by: dict[str, onnx.NodeProto]) -> str:
    """Kernels are stored as float16 and cast."""
    return made_by[tensor].input[0] if tensor in made_by else tensor


def _row(part: LeftOut, after: bool) -> list[float]:
    figures = part.after if after else part.before
    surprise = part.surprise_after if after else part.surprise_before
    floor = figures.calibration_floor
    return [figures.calibration_error, floor, surprise, figures.recall, figures.precision]


def _cells(before: Sequence[float], after: Sequence[float]) -> str:
    return " | ".join(f"{b:.3f} → {a:.3f}" for b, a in zip(before, after, strict=True))
