"""`UpsamplingHead`: the last layers of networks that enlarge images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import ConvHead, SlimmableConv2d, weight_norm

Skip = Literal["learned", "bicubic"]
CUBIC = -0.5  # the free parameter of Keys' cubic convolution, as MATLAB and PIL have it


class UpsamplingHead(nn.Module):
    """An image enlarged by one convolution, and by another one what the network's features add to it.

    A 5x5 convolution of the image and a 3x3 convolution of the features, each with an output for every pixel that one
    pixel becomes (Shi et al., sub-pixel convolution, 2016), are added up. The outputs of every width follow from one
    pass at full width: a `PrefixHead`.

    Parameters
    ----------
    colours
        Channels of an image.
    trunk
        The dimension of the features.
    scale
        How many times as high and wide the output is.
    skip
        "learned" as in WDSR, its borders padded with zeros, or "bicubic": what is known to be a good start stays as it
        is, and borders are repeated.

    Shapes
    ------
    input `[N, colours + trunk active, H, W]`, the image first; output `[N, colours, scale * H, scale * W]`

    References
    ----------
    Yu et al., Wide Activation for Efficient and Accurate Image Super-Resolution, 2018, section 3.2.
    """

    channels_in: Channels

    def __init__(self, colours: int, trunk: Channels, scale: int, skip: Skip) -> None:
        super().__init__()
        self.colours, self.scale = colours, scale
        self.channels_in, self.channels_out = trunk, Channels(colours * scale**2, fixed=True)
        self.tail = weight_norm(ConvHead(trunk, self.channels_out, 3, padding=1))
        self.fixed = skip == "bicubic"
        if self.fixed:
            self.skip = SlimmableConv2d(colours, self.channels_out, 5, bias=False).requires_grad_(False)
        else:
            self.skip = weight_norm(SlimmableConv2d(colours, self.channels_out, 5, padding=2))

    def forward(self, features: Tensor) -> Tensor:
        """Return the enlarged images at the active width."""
        image, trunk = self._parts(features)
        return F.pixel_shuffle(self.tail(trunk) + self._enlarged(image), self.scale)

    def prefix_outputs(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the outputs of several widths, `[n, N, ...]` (`PrefixHead`).

        On a CPU from convolutions of the channels between one count and the next, which cost what one width does; else
        from a single one, which need not know the counts.
        """
        if counts.device.type == "cpu" and not torch.compiler.is_compiling():
            rising = sorted(set(counts.tolist()))
            outputs = dict(zip(rising, self.running_outputs(features, rising), strict=True))
            pixels_first = torch.stack([outputs[count].movedim(1, -1) for count in counts.tolist()])
            return pixels_first.movedim(-1, 2)  # each of them in the memory layout that it had
        image, trunk = self._parts(features)
        return F.pixel_shuffle(self.tail.prefix_outputs(trunk, counts) + self._enlarged(image), self.scale)

    def running_outputs(self, features: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the outputs of each of rising channel counts (`PrefixHead`)."""
        image, trunk = self._parts(features)
        enlarged = self._enlarged(image)
        for outputs in self.tail.running_outputs(trunk, counts):
            yield F.pixel_shuffle(outputs + enlarged, self.scale)

    def _parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        image, trunk = torch.split(features, [self.colours, features.shape[1] - self.colours], dim=1)
        return image, trunk

    def _enlarged(self, image: Tensor) -> Tensor:
        enlarged: Tensor = self.skip(F.pad(image, [2, 2, 2, 2], mode="replicate") if self.fixed else image)
        return enlarged


def bicubic_filters(colours: int, scale: int) -> Tensor:
    """Return the filters, `[colours * scale^2, colours, 5, 5]`, by which a convolution enlarges bicubically.

    Those of Keys (Cubic Convolution Interpolation for Digital Image Processing, 1981) with -0.5, one for each of the
    places that an output pixel may have within an input pixel.
    """
    places = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    distances = (torch.arange(-2, 3) - places[:, None]).abs()  # [place, input pixel]
    near = ((CUBIC + 2) * distances - (CUBIC + 3)) * distances**2 + 1
    far = CUBIC * (((distances - 5) * distances + 8) * distances - 4)
    along = torch.where(distances <= 1, near, torch.where(distances < 2, far, 0.0))
    filters = torch.einsum("iy,jx->ijyx", along, along).reshape(scale**2, 1, 5, 5)
    return torch.cat([F.pad(filters, (0, 0, 0, 0, c, colours - 1 - c)) for c in range(colours)])
