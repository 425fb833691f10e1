"""Random small networks of everything that connects channels: equal to the masked original, or fixed with a reason."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
from tests.masked import masked_outputs, shake

WIDTHS = [0.25, 0.4, 0.5, 0.75, 1.0]
IMAGES = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class RandomNetwork(nn.Module):
    """A list of steps over a pool of maps of 6x6; each appends maps."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        torch.manual_seed(seed)
        self.layers = nn.ModuleList()
        self.scales = nn.ParameterList()
        self.steps = []
        self.counts = [4]  # channels of each map in the pool
        self.add_conv(0)
        kinds = [self.add_conv, self.add_norm, self.add_sum, self.add_cat, self.add_reuse, self.add_scale]
        kinds += [self.add_grouped, self.add_excitation, self.add_tokens, self.add_padding]
        rare = [self.add_split, self.add_shuffle, self.add_slice, self.add_channel_mean, self.add_fold]
        for _ in range(self.random.randint(3, 9)):
            kind = self.random.choice(kinds if self.random.random() < 0.8 else rare)
            kind(self.random.randrange(len(self.counts)))
        self.add_unread()
        last = self.counts[-1]
        flat = self.random.random() < 0.5
        self.steps.append(("flatten" if flat else "mean", len(self.counts) - 1, None))
        self.head = nn.Linear(last * (36 if flat else 1), 3)

    def step(self, kind, read, option, *counts):
        self.steps.append((kind, read, option))
        self.counts.extend(counts)

    def layer(self, layer):
        self.layers.append(layer)
        return len(self.layers) - 1

    def add_unread(self):
        """Concatenate what nothing reads, so that every layer is used."""
        read = {step[1] for step in self.steps}
        read |= {step[2] for step in self.steps if step[0] in ("add", "add_inplace", "mul")}
        read |= {other for step in self.steps if step[0] == "cat" for other in step[2]}
        others = [index for index in range(len(self.counts) - 1) if index not in read]
        self.step("cat", len(self.counts) - 1, others, self.counts[-1] + sum(self.counts[other] for other in others))

    def some(self, condition):
        return [index for index, count in enumerate(self.counts) if condition(count)]

    def add_conv(self, read):
        count = self.random.choice([4, 6, 8])
        self.step("layer", read, self.layer(nn.Conv2d(self.counts[read], count, 3, padding=1)), count)

    def add_grouped(self, read):
        inputs = self.counts[read]
        groups = self.random.choice([g for g in range(2, inputs + 1) if inputs % g == 0] or [1])
        count = groups * self.random.choice([1, 2])
        self.step("layer", read, self.layer(nn.Conv2d(inputs, count, 1, groups=groups)), count)

    def add_norm(self, read):
        self.step("layer", read, self.layer(nn.BatchNorm2d(self.counts[read])), self.counts[read])

    def add_reuse(self, read):
        fitting = [i for i, layer in enumerate(self.layers) if self.inputs(layer) == self.counts[read]]
        if fitting:
            index = self.random.choice(fitting)
            layer = self.layers[index]
            self.step("layer", read, index, getattr(layer, "out_channels", self.counts[read]))

    def inputs(self, layer):
        return getattr(layer, "in_channels", getattr(layer, "num_features", None))

    def add_sum(self, read):
        other = self.random.choice(self.some(lambda count: count == self.counts[read]))
        self.step(self.random.choice(["add", "add_inplace", "mul"]), read, other, self.counts[read])

    def add_cat(self, read):
        others = self.random.choices(range(len(self.counts)), k=self.random.randint(1, 2))
        self.step("cat", read, others, self.counts[read] + sum(self.counts[other] for other in others))

    def add_scale(self, read):
        self.scales.append(nn.Parameter(torch.rand(self.counts[read], 1, 1)))
        self.step("scale", read, len(self.scales) - 1, self.counts[read])

    def add_excitation(self, read):
        count = self.counts[read]
        self.step("excite", read, self.layer(nn.Linear(count, count)), count)

    def add_tokens(self, read):
        index = self.layer(nn.Linear(self.counts[read], 6))
        self.step(self.random.choice(["tokens", "tokens_by_number"]), read, index, 6)

    def add_padding(self, read):
        self.step("pad", read, None, self.counts[read] + 3)

    def add_split(self, read):
        count = self.counts[read]
        if count % 2 == 0:
            self.step(self.random.choice(["split", "chunk"]), read, count // 2, count // 2, count // 2)

    def add_shuffle(self, read):
        if self.counts[read] % 2 == 0:
            self.step("shuffle", read, self.counts[read] // 2, self.counts[read])

    def add_slice(self, read):
        self.step("slice", read, self.counts[read] // 2, self.counts[read] // 2)

    def add_channel_mean(self, read):
        self.step("channel_mean", read, None, self.counts[read])

    def add_fold(self, read):
        """Height and channels are one dimension, and apart again, by numbers."""
        self.step("fold", read, self.counts[read], self.counts[read])

    def forward(self, images):
        pool = [images]
        for kind, read, option in self.steps:
            x = pool[read]
            if kind in ("flatten", "mean"):
                return self.head(torch.flatten(x, 1) if kind == "flatten" else x.mean(dim=(2, 3)))
            pool.extend(self.run(kind, x, option, pool))
        raise AssertionError

    def run(self, kind, x, option, pool):
        if kind == "layer":
            return [F.relu(self.layers[option](x))]
        if kind == "add":
            return [x + pool[option]]
        if kind == "add_inplace":
            return [x.clone().add_(pool[option])]
        if kind == "mul":
            return [torch.sigmoid(x) * pool[option]]
        if kind == "cat":
            return [torch.cat([x, *(pool[other] for other in option)], dim=1)]
        if kind == "scale":
            return [self.scales[option] * x]
        if kind == "excite":
            return [torch.sigmoid(self.layers[option](x.mean(dim=(2, 3))))[:, :, None, None] * x]
        if kind == "tokens":
            return [self.layers[option](x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (6, 6))]
        if kind == "tokens_by_number":
            return [self.layers[option](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).reshape(len(x), 6, 6, 6)]
        if kind == "pad":
            return [F.pad(x, (0, 0, 0, 0, 1, 2))]
        if kind == "split":
            return x.split(option, dim=1)
        if kind == "chunk":
            return x.chunk(2, dim=1)
        if kind == "shuffle":
            return [x.unflatten(1, (2, option)).transpose(1, 2).flatten(1, 2)]
        if kind == "slice":
            return [x[:, :option]]
        if kind == "channel_mean":
            return [x * x.mean(dim=1, keepdim=True)]
        return [x.flatten(1, 2).unflatten(1, (option, 6))]


def check(seed):
    network = shake(RandomNetwork(seed).double(), seed)
    try:
        converted = to_slimmable(network, IMAGES, divisor=1)
    except ValueError as error:
        if "no dimension of RandomNetwork can follow the width" in str(error):
            return None
        raise
    assert all(converted.report.fixed.values())
    assert "computes something else" not in str(converted.report)  # the rules have understood it
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        with torch.no_grad():
            outputs = converted(IMAGES)
            expected = masked_outputs(network, converted, IMAGES)
            torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(extract(converted, width_mult)(IMAGES), outputs)
    return converted


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_are_right_or_fixed(seed):
    check(seed)


def test_most_random_networks_follow_the_width():
    converted = [check(seed) for seed in range(20, 30)]
    assert sum(len(network.report.free) for network in converted if network) >= 10
