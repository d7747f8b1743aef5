"""The networks: the paper's U-Net, and a residual U-Net.

Both take normalised density (n, 1, d, h, w) and return logits (n, 4, d', h', w').
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from haruspex_infer.classes import CLASSES


@dataclass(frozen=True)
class Geometry:
    """What inference must know to cut tiles for a network.

    Attributes
    ----------
    margin : int
        Voxels by which the output is smaller than the input, on every side.
    multiple : int
        The input's edges must be multiples of this.
    overlap : int
        Overlap of neighbouring outputs in inference, voxels.
    held : int
        Numbers for each voxel of the input that inference holds at once, at most: its memory. Measured with
        ONNX Runtime on a CPU (``benchmarks/tile_memory.py``).
    """

    margin: int
    multiple: int
    overlap: int
    held: int


class AnnotationNetwork(nn.Module):
    """A network that annotates density, and the geometry of its tiles."""

    geometry: Geometry

    def channels_last(self) -> None:
        """Lay out the kernels with channels last, in which convolutions in bf16 are fastest."""
        for parameter in self.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


class Mostosi2020(AnnotationNetwork):
    """The network of Mostosi et al. 2020, as its text describes it (Methods, Network Architecture).

    Valid 3×3×3 convolutions with 32 and 64 channels, pooling; 128 channels, pooling; 128 channels with
    padding at the bottom; then twice: deconvolution, concatenation and two valid convolutions (128 and 128,
    64 and 32 channels); 1×1×1 to the classes. 40³ voxels in, the central 20³ out.
    """

    geometry = Geometry(margin=10, multiple=4, overlap=0, held=240)

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Sequential(_valid(1, 32), _valid(32, 64))
        self.middle = _valid(64, 128)
        self.bottom = nn.Sequential(nn.Conv3d(128, 128, 3, padding=1), nn.ReLU(inplace=True))
        self.up_middle = nn.ConvTranspose3d(128, 128, 2, stride=2)
        self.decode_middle = nn.Sequential(_valid(256, 128), _valid(128, 128))
        self.up_top = nn.ConvTranspose3d(128, 64, 2, stride=2)
        self.decode_top = nn.Sequential(_valid(128, 64), _valid(64, 32))
        self.head = nn.Conv3d(32, len(CLASSES), 1)
        self.pool = nn.MaxPool3d(2)

    def forward(self, density: Tensor) -> Tensor:
        """Logits of the centre of `density`."""
        top = self.top(density)
        middle = self.middle(self.pool(top))
        bottom = self.bottom(self.pool(middle))
        decoded = self.decode_middle(torch.cat([self.up_middle(bottom), middle], 1))
        up = self.up_top(decoded)
        return self.head(self.decode_top(torch.cat([up, _centre(top, up)], 1)))


class ResidualUNet(AnnotationNetwork):
    """A residual U-Net with padded convolutions: every level halves the grid, all voxels come out.

    Most of the work is done at twice the voxel size of the input, where a 3×3×3 convolution costs an eighth
    and sees twice as far; the finest level only takes the density in and draws the classes' edges.

    Parameters
    ----------
    channels : tuple of int
        Channels of the levels, finest first.
    blocks : tuple of int
        Residual blocks in the encoder of each level.
    """

    def __init__(
        self, channels: tuple[int, ...] = (16, 80, 128, 160), blocks: tuple[int, ...] = (0, 4, 2, 2)
    ) -> None:
        super().__init__()
        self.geometry = Geometry(
            margin=0, multiple=2 ** (len(channels) - 1), overlap=32, held=round(4.5 * channels[0])
        )
        self.stem = nn.Conv3d(1, channels[0], 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(
            nn.Sequential(*[ResidualBlock(c) for _ in range(count)])
            for c, count in zip(channels, blocks, strict=True)
        )
        pairs = list(itertools.pairwise(channels))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv3d(fine, coarse, 2, stride=2, bias=False), nn.BatchNorm3d(coarse))
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.join = nn.ModuleList(Join(fine) for fine, _ in pairs)
        self.decoders = nn.ModuleList(ResidualBlock(fine) for fine, _ in pairs)
        self.head = nn.Conv3d(channels[0], len(CLASSES), 1)

    def forward(self, density: Tensor) -> Tensor:
        """Logits of every voxel of `density`."""
        x = self.encoders[0](self.stem(density))
        skips = []
        for down, encoder in zip(self.down, list(self.encoders)[1:], strict=True):
            skips.append(x)
            x = encoder(down(x))
        for level in reversed(range(len(skips))):
            x = self.join[level](self.up[level](x), skips[level])
            x = self.decoders[level](x)
        return self.head(x)


class Join(nn.Conv3d):
    """A 1×1×1 convolution of what comes up from the coarser level beside what the encoder kept."""

    def __init__(self, channels: int) -> None:
        super().__init__(2 * channels, channels, 1, bias=False)

    def forward(self, up: Tensor, kept: Tensor) -> Tensor:  # type: ignore[override]
        """Return both joined, in as many channels as each has."""
        return super().forward(torch.cat([up, kept], 1))

    def merged(self, deconvolution: nn.ConvTranspose3d) -> "Sum":
        """Merge the half that sees what comes up into what makes it; return what is left."""
        mixing, kernel = self.weight.data.chunk(2, 1)
        mixing = mixing[:, :, 0, 0, 0]
        deconvolution.weight.data = torch.einsum("om,imzyx->iozyx", mixing, deconvolution.weight.data)
        if deconvolution.bias is not None:
            deconvolution.bias.data = mixing @ deconvolution.bias.data
        return Sum(kernel)


class Sum(nn.Module):
    """What comes up, and a 1×1×1 convolution of what the encoder kept."""

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(kernel.shape[1], kernel.shape[0], 1, bias=False)
        self.convolution.weight.data = kernel.contiguous()

    def forward(self, up: Tensor, kept: Tensor) -> Tensor:
        """Return their sum."""
        return up + self.convolution(kept)


class ResidualBlock(nn.Module):
    """Two 3×3×3 convolutions with batch normalisation, added to their input.

    Batch normalisation rather than instance normalisation: the answer at a voxel must not depend on what
    else lies in the tile.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, same shape as `x`."""
        return torch.relu(x + self.body(x))


def _valid(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3), nn.ReLU(inplace=True))


def _centre(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the central part of `outer` that has the spatial shape of `inner`."""
    cut = (outer.shape[-1] - inner.shape[-1]) // 2
    return outer[..., cut:-cut, cut:-cut, cut:-cut]


NETWORKS: dict[str, type[AnnotationNetwork]] = {"mostosi2020": Mostosi2020, "residual": ResidualUNet}
"""Architectures by the name that configurations use."""
