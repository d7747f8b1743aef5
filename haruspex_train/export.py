"""From a training run's weights to the ONNX file that inference reads, checked against PyTorch."""

import copy
import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from haruspex_infer.classes import CLASS_NAMES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import written_whole
from haruspex_infer.network import FORMAT, METADATA_KEY
from haruspex_infer.normalise import Normaliser
from haruspex_infer.onnxfile import seal
from haruspex_train import __version__
from haruspex_train.library import load_training_atoms
from haruspex_train.networks import NETWORKS, AnnotationNetwork, Geometry, Join, ResidualUNet
from haruspex_train.progress import read_weights
from haruspex_train.simulate import Simulator
from haruspex_train.working import VOXEL_SIZES

BOUND = 5e-3
"""Largest difference in a probability between the ONNX file and the PyTorch network it was made from.

Nearly all of it comes from storing weights as float16.
"""

_OPSET = 20
_CROPS = 4
_SMALL_EDGE = 40  # voxels; a multiple of what every network asks for


class Probabilities(nn.Module):
    """A network followed by softmax over the classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, density: Tensor) -> Tensor:
        """Return class probabilities for normalised density (n, 1, d, h, w)."""
        return torch.softmax(self.network(density), 1)


def load_network(weights: Path) -> tuple[AnnotationNetwork, dict[str, Any]]:
    """Load the network of a training run.

    Parameters
    ----------
    weights : path
        ``weights.pt`` of the run.

    Returns
    -------
    network : AnnotationNetwork
        In float32, ready to evaluate.
    run : dict
        What the file says of its run: configuration, digest, entries, step, seconds.

    Raises
    ------
    HaruspexError
        If the file is not one that training wrote.
    """
    run = read_weights(weights, torch.device("cpu"))
    state, configuration = run.pop("weights"), run["configuration"]
    try:
        network = NETWORKS[configuration["network"]](**configuration["network_options"])
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as fault:
        raise HaruspexError(
            f"{weights} holds no network that this version knows ({type(fault).__name__}); train it anew."
        ) from fault
    return network.float().eval(), run


def refuse_target(out: Path) -> None:
    """Say what keeps a network from being written to a file, before the work is done.

    Raises
    ------
    HaruspexError
        If the name does not end in ``.onnx``, or there is no such folder.
    """
    if out.suffix != ".onnx":
        raise HaruspexError(f"{out} is no name for a network: haruspex-infer takes files that end in .onnx.")
    if not out.parent.is_dir():
        raise HaruspexError(f"There is no folder {out.parent} to write {out.name} into; make it first.")


def export(weights: Path, out: Path, crops: NDArray[np.float32] | None = None) -> float:
    """Write a network as ONNX with the metadata that inference reads.

    Parameters
    ----------
    weights : path
        ``weights.pt`` of a training run.
    out : path
        ONNX file to write; its stem becomes the network's name.
    crops : ndarray (n, 1, d, h, w), optional
        Normalised density to compare on besides random input.

    Returns
    -------
    float
        The largest difference in a probability between ONNX Runtime and PyTorch.

    Raises
    ------
    HaruspexError
        If the two differ by more than `BOUND` (nothing is written then), or a file cannot be read or written.
    """
    refuse_target(out)
    network, run = load_network(weights)
    model = Probabilities(network).eval()
    exported = onnx_model(folded(model), network.geometry)
    halve_weights(exported)
    entry = exported.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(metadata(out.stem, network.geometry, run))
    onnx.checker.check_model(exported, full_check=True)
    serialised = seal(exported.SerializeToString())

    edge, step = _SMALL_EDGE, network.geometry.multiple
    noise = np.random.default_rng(0).normal(0.3, 0.7, (2, 1, edge, edge + step, edge + 2 * step))
    inputs = [noise.astype(np.float32)] + ([] if crops is None else [crops])
    # numpy's maximum, unlike Python's, keeps what is not a number
    worst = float(np.max([difference(serialised, model, density) for density in inputs]))
    if not worst <= BOUND:
        raise HaruspexError(
            f"The exported network differs from PyTorch by {worst:.2g} in a probability (bound {BOUND:g}); "
            f"{out} was not written."
        )
    with written_whole(out) as stream:
        stream.write(serialised)
    return worst


def simulated_crops(atoms: Path) -> NDArray[np.float32]:
    """Simulate a few crops of the ``val`` entries of a training file to compare on.

    Returns
    -------
    ndarray of float32, shape (n, 1, d, h, w)
        Normalised density.
    """
    cpu = torch.device("cpu")
    simulator = Simulator(load_training_atoms(atoms, "val"), _SMALL_EDGE, cpu, seed=0)
    return simulator.batch(_CROPS).density[:, None].numpy()


def metadata(name: str, geometry: Geometry, run: dict[str, Any]) -> dict[str, Any]:
    """Return the contract between a network and inference, as it is stored in the file."""
    return {
        "format": FORMAT,
        "name": name,
        "version": __version__,
        "licence": "BSD-3-Clause",
        "classes": list(CLASS_NAMES),
        "voxel_size": VOXEL_SIZES,
        **asdict(geometry),
        "normalisation": Normaliser().parameters(),
        "training": _history(run),
    }


def _history(run: dict[str, Any]) -> dict[str, Any]:
    """Say how weights were made: by which run, and by which it was preceded."""
    before = {"started_from": _history(run["started_from"])} if "started_from" in run else {}
    return {
        "digest": run["digest"],
        "entries": run["entries"],
        "steps": run["step"],
        **{key: run[key] for key in ("merged", "other_odds") if key in run},
        "seconds": round(run["seconds"]),
        "configuration": run["configuration"],
        **before,
    }


def folded(model: nn.Module) -> nn.Module:
    """Return a copy with fewer steps: of two linear maps in a row, one is left.

    Batch normalisations are merged into the convolutions before them; of the convolution that joins two
    inputs, the half that sees a deconvolution is merged into that, so that nothing is laid side by side: a
    third of a tile's memory on a CPU.
    """
    model = copy.deepcopy(model)
    for network in [m for m in model.modules() if isinstance(m, ResidualUNet)]:
        for level, (up, join) in enumerate(zip(network.up, network.join, strict=True)):
            if isinstance(up, nn.ConvTranspose3d) and isinstance(join, Join):
                network.join[level] = join.merged(up)
    for sequence in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for k in range(len(sequence) - 1):
            convolution, normalisation = sequence[k], sequence[k + 1]
            if isinstance(convolution, nn.Conv3d) and isinstance(normalisation, nn.BatchNorm3d):
                sequence[k] = fuse_conv_bn_eval(convolution, normalisation)
                sequence[k + 1] = nn.Identity()
    return model


def onnx_model(model: nn.Module, geometry: Geometry) -> onnx.ModelProto:
    """Trace a model to ONNX with free batch and spatial sizes, in float32."""
    edge, step = _SMALL_EDGE, geometry.multiple
    size = torch.export.Dim.DYNAMIC
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # PyTorch's exporter warns of its own use of PyTorch
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 1, edge, edge + step, edge + 2 * step),),
            input_names=["density"],
            output_names=["probabilities"],
            dynamic_shapes=({0: size, 2: size, 3: size, 4: size},),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("PyTorch made no ONNX program")
    return without_traces(program.model_proto)


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what PyTorch notes of its source at every node: paths of this machine, part of the digest."""
    model.graph.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.ClearField("metadata_props")
    return model


def halve_weights(model: onnx.ModelProto) -> None:
    """Store the kernels of convolutions as float16, each cast back to float32 before use.

    Halves the file; ONNX Runtime folds the casts away when it loads the network.
    """
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.dims) < 4:
            continue
        name = weight.name
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}_half")
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
        weight.CopyFrom(half)
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)


def difference(serialised: bytes, model: nn.Module, density: NDArray[np.float32]) -> float:
    """Return the largest difference in a probability between an ONNX file and a PyTorch model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    ours = session.run(None, {"density": density})[0]
    with torch.no_grad():
        theirs = model(torch.from_numpy(density)).numpy()
    return float(np.abs(ours - theirs).max())
