"""Answers at four rising widths from one network that is widened, beside four separate networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from benchmarks.measure import Benchmark, Case, Ratio, at_most
from benchmarks.workload import WIDTHS, Options, create_lenet, random_batch

RISING = sorted(WIDTHS)


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of widening with separate networks and with one network of full width."""
    model = create_lenet("awn", options).eval()
    networks = [extract(model, width_mult, fold_bn=True) for width_mult in RISING]
    images, _ = random_batch(options, memory_format=torch.contiguous_format)
    cases: dict[str, Case] = {}
    ratios: list[Ratio] = []
    for batch_size in sorted({min(32, options.batch_size), options.batch_size}):
        widened, separate, full = (
            f"{name}, batch {batch_size}"
            for name in ("widened step by step", "4 separate networks", "full width alone")
        )
        cases[widened] = _widening(AnytimeNetwork(model), images[:batch_size])
        cases[separate] = _inference(networks, images[:batch_size])
        cases[full] = _inference(networks[-1:], images[:batch_size])
        ratios += [Ratio(widened, separate, at_most(0.55, holds_with="AVX-512")), Ratio(widened, full)]
    return [Benchmark("anytime", cases, ratios)]


def _widening(network: AnytimeNetwork, images: Tensor) -> Case:
    def run() -> None:
        network.start(images)
        for width_mult in RISING:
            network.logits(width_mult)

    return run


def _inference(networks: Sequence[nn.Module], images: Tensor) -> Case:
    @torch.no_grad()
    def run() -> None:
        for network in networks:
            network(images)

    return run
