"""One width as a plain network (`awnlib.deploy.extract`), beside a hand-written network with the same channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from awnlib.deploy.extract import extract
from benchmarks.measure import Benchmark, Case, Ratio, at_most
from benchmarks.peers import PlainLeNet
from benchmarks.workload import Options, create_lenet, random_batch

WIDTHS = [1.0, 0.5, 0.25]
MIN_IMAGES = 64  # in a case: small batches are repeated, so that it lasts long enough to be timed


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of extracted with hand-written networks, in evaluation mode."""
    model = create_lenet("awn", options).eval()
    images, _ = random_batch(options, memory_format=torch.contiguous_format)
    cases: dict[str, Case] = {}
    ratios: list[Ratio] = []
    for width_mult in WIDTHS:
        channels = [channels.count(width_mult) for channels in model.channels.values()]
        networks = {
            "extracted": extract(model, width_mult),
            "folded": extract(model, width_mult, fold_bn=True),
            "hand-written": PlainLeNet(channels).to(options.device).eval(),
        }
        for batch_size in sorted({1, options.batch_size}):
            names = {kind: f"{kind}, {channels[-1]} channels, batch {batch_size}" for kind in networks}
            cases |= {names[kind]: _inference(network, images[:batch_size]) for kind, network in networks.items()}
            ratios.append(Ratio(names["folded"], names["hand-written"], at_most(1.0)))
            ratios.append(Ratio(names["extracted"], names["hand-written"]))
    return [Benchmark("slices", cases, ratios)]


def _inference(network: nn.Module, images: Tensor) -> Case:
    @torch.inference_mode()
    def run() -> None:
        for _ in range(max(MIN_IMAGES // len(images), 1)):
            network(images)

    return run
