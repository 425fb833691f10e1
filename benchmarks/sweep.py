"""Accuracy at every distinct width of one batch: in one pass, beside widths one by one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from awnlib.evaluation.sweep import sweep_widths
from awnlib.models import SlimmableModel
from benchmarks.measure import Benchmark, Case, Ratio, at_least
from benchmarks.peers import PapersLeNet, papers_sweep
from benchmarks.workload import Options, create_lenet, random_batch

ONE_PASS, PAPERS = "one pass", "papers' code, width by width"
WIDTH_BY_WIDTH, FULL_WIDTH = "width by width", "full width alone"


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of sweeps."""
    model, papers = create_lenet("awn", options).eval(), PapersLeNet(45).to(options.device).eval()
    batch, papers_batch = random_batch(options), random_batch(options, memory_format=torch.contiguous_format)
    every = model.distinct_width_mults()
    cases: dict[str, Case] = {
        ONE_PASS: partial(sweep_widths, model, [batch]),
        PAPERS: partial(papers_sweep, papers, *papers_batch, every),
        WIDTH_BY_WIDTH: partial(_forward_passes, model, batch[0], every),
        FULL_WIDTH: partial(_forward_passes, model, batch[0], [1.0]),
    }
    ratios = [
        Ratio(PAPERS, ONE_PASS, at_least(30, holds_with="AVX-512")),
        Ratio(WIDTH_BY_WIDTH, ONE_PASS),
        Ratio(FULL_WIDTH, ONE_PASS),
    ]
    return [Benchmark("sweep", cases, ratios)]


@torch.no_grad()
def _forward_passes(model: SlimmableModel, images: Tensor, width_mults: Sequence[float]) -> None:
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        model(images)
