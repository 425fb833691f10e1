"""One training step for all widths in one pass, beside passes one by one and networks of one width."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.models import SlimmableModel
from awnlib.tasks.classification import backward_one_pass, backward_widths, width_losses
from awnlib.training.methods import load_methods
from awnlib.training.objectives import loss_weights
from benchmarks.measure import Benchmark, Case, Ratio, at_least, at_most
from benchmarks.peers import PapersLeNet, PlainLeNet, count, papers_backward
from benchmarks.workload import WIDTHS, Options, as_in_training, create_lenet, random_batch, step

PLAIN, ONE_PASS, ALL_WIDTHS, FOUR_PASSES = (
    "plain, 45 channels",
    "one pass, 4 widths",
    "one pass, all widths",
    "4 passes",
)
BFLOAT16, COMPILED, GRAPHS = "one pass, bfloat16", "one pass, compiled", "one pass, CUDA graphs"
PAPERS_AWN, PAPERS_S_NET = "papers' code, AWN", "papers' code, S-Net"
S_NET, US_NET, INDIVIDUAL = "S-Net, 4 passes", "US-Net, 4 passes", "4 individual networks"
SANDWICH = [1.0, 0.25, 0.75, 0.5]  # inner widths whose mean is that of random ones


def cases(options: Options) -> dict[str, Case]:
    """Return the training steps by name."""
    batch, papers_batch = random_batch(options), random_batch(options, memory_format=torch.contiguous_format)
    awn = partial(create_lenet, "awn", options)
    s_net, us_net = create_lenet("s_net", options), create_lenet("us_net", options)
    papers_awn = PapersLeNet(45).to(options.device)
    papers_s_net = PapersLeNet(32, switches=WIDTHS).to(options.device)
    steps = {
        PLAIN: plain_step(45, options, *batch),
        ONE_PASS: one_pass_step(awn(), WIDTHS, *batch),
        ALL_WIDTHS: all_widths_step(awn(), *batch),
        FOUR_PASSES: passes_step(awn(), WIDTHS, *batch),
        PAPERS_AWN: step(papers_awn, partial(papers_backward, papers_awn, *papers_batch, WIDTHS)),
        PAPERS_S_NET: step(papers_s_net, partial(papers_backward, papers_s_net, *papers_batch, WIDTHS)),
        S_NET: passes_step(s_net, WIDTHS, *batch),
        US_NET: us_net_step(us_net, *batch),
        INDIVIDUAL: _in_turn([plain_step(count(width_mult, 32), options, *batch) for width_mult in WIDTHS]),
        BFLOAT16: _autocast(one_pass_step(awn(), WIDTHS, *batch), options),
    }
    if options.device == "cpu":
        return steps
    modes = {
        COMPILED: "default",
        GRAPHS: "reduce-overhead",
    }  # the second one as `awnlib.training.engine` compiles for a GPU
    return steps | {name: _compiled_step(awn(), mode, *batch) for name, mode in modes.items()}


def plain_step(channels: int, options: Options, images: Tensor, labels: Tensor) -> Case:
    """Return the step of a hand-written network of one width."""
    network = as_in_training(PlainLeNet([channels] * 3), options)
    return step(network, lambda: F.cross_entropy(network(images), labels).backward())  # type: ignore[no-untyped-call]


def one_pass_step(model: SlimmableModel, widths: list[float], images: Tensor, labels: Tensor) -> Case:
    """Return the step of an any-width network."""
    return step(model, partial(backward_one_pass, model, images, labels, widths))


def all_widths_step(model: SlimmableModel, images: Tensor, labels: Tensor) -> Case:
    """Return the step of an any-width network that is trained at every width."""
    every = sorted(model.distinct_width_mults(WIDTHS), reverse=True)
    weights = torch.tensor(loss_weights(load_methods()["awn_all"], WIDTHS, every), device=images.device)
    return step(model, partial(backward_one_pass, model, images, labels, every, weights=weights, updates="once"))


def us_net_step(model: SlimmableModel, images: Tensor, labels: Tensor) -> Case:
    """Return the step of a universally slimmable network: the sandwich rule and inplace distillation."""
    return step(model, partial(backward_widths, model, images, labels, SANDWICH, distillation=True))


def passes_step(model: SlimmableModel, widths: list[float], images: Tensor, labels: Tensor) -> Case:
    """Return the step of any network of selectable width, one pass for each width."""
    return step(model, partial(backward_widths, model, images, labels, widths))


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of training steps."""
    ratios = [
        Ratio(ONE_PASS, PLAIN, at_most(1.05)),
        Ratio(ALL_WIDTHS, ONE_PASS, at_most(1.07)),
        Ratio(FOUR_PASSES, ONE_PASS, at_least(2.4, holds_with="AVX-512")),
        Ratio(PAPERS_AWN, ONE_PASS, at_least(3.3, holds_with="AVX-512")),
        Ratio(PAPERS_AWN, BFLOAT16, at_least(5.5, holds_with="bfloat16")),
        Ratio(ONE_PASS, PAPERS_S_NET, at_most(0.60)),
        Ratio(ONE_PASS, S_NET),
        Ratio(ONE_PASS, US_NET),
        Ratio(ONE_PASS, INDIVIDUAL),
    ]
    compiled = [Ratio(COMPILED, ONE_PASS), Ratio(GRAPHS, ONE_PASS)] if options.device == "cuda" else []
    return [Benchmark("train_step", cases(options), ratios + compiled)]


def _compiled_step(model: SlimmableModel, mode: str, images: Tensor, labels: Tensor) -> Case:
    """Return the step with its forward pass compiled in one of the modes of torch."""
    forward = torch.compile(width_losses, fullgraph=True, dynamic=False, mode=mode)
    return step(model, partial(backward_one_pass, model, images, labels, WIDTHS, forward=forward))


def _autocast(case: Case, options: Options) -> Case:
    def run() -> object:
        with torch.autocast(options.device, torch.bfloat16):
            return case()

    return run


def _in_turn(cases: list[Case]) -> Case:
    return lambda: [case() for case in cases]
