"""`ConvHead`: a convolution that gives the outputs of every width from one pass at full width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from awnlib.layers.conv import SlimmableConv2d
from awnlib.layers.strided import convolve


class ConvHead(SlimmableConv2d):
    """A convolution with the same outputs at every width: the last one of networks that give images.

    The counterpart of `SlimmableLinear` as a head of classifiers, and a `PrefixHead` as that is. Its `groups` is 1, and
    it does not average over its inputs.
    """

    def prefix_outputs(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the outputs of several widths, `[n, N, out, H', W']`, from one input (`PrefixHead`).

        One convolution with the filters of every width, zero for the channels that a width lacks.

        Raises
        ------
        ValueError
            If the number of outputs follows the width, or the layer averages over its inputs.
        """
        weight = self._weight_of_prefixes()
        kept = torch.arange(weight.shape[1], device=features.device) < counts[:, None]
        weights = (weight * kept[:, None, :, None, None]).flatten(0, 1)
        bias = self.bias.repeat(len(counts)) if self.bias is not None else None
        outputs = convolve(self, features[:, : weight.shape[1]], weights, bias)
        count, *size = outputs.shape[1:]
        return outputs.reshape(len(features), len(counts), count // len(counts), *size).transpose(0, 1)

    def running_outputs(self, features: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the outputs `[N, out, H', W']` of each of rising channel counts, adding only the channels that are new.

        Raises
        ------
        ValueError
            As `prefix_outputs`.
        """
        weight = self._weight_of_prefixes()
        outputs: Tensor | None = None
        start = 0
        for stop in counts:
            if outputs is None:
                outputs = convolve(self, features[:, :stop], weight[:, :stop], self.bias)
            elif stop > start:
                outputs = outputs + convolve(self, features[:, start:stop], weight[:, start:stop], None)
            start = stop
            yield outputs

    def _weight_of_prefixes(self) -> Tensor:
        """Return the weights in use, if each width has the same outputs and they are sums over its inputs."""
        if not self.channels_out.fixed or self.average_inputs or self.depthwise:
            raise ValueError(f"the outputs of a head must be fixed, and sums over its inputs, found {self}")
        return self.active_weight()
