"""How fast one pass for all widths is, beside what one would run instead: `python benchmarks/speed.py`.

Every case is run once in each round, in turn, and compared with its reference of the same round; the table shows the
median ratio and its quartiles. Ratios carry over between machines and noisy neighbours, milliseconds do not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch

from awnlib.anytime import AnytimeNetwork
from awnlib.extract import extract
from awnlib.memory import keep_freed_memory
from awnlib.models import create_model
from awnlib.models._base import SlimmableModel
from awnlib.objectives import backward_widths
from awnlib.one_pass import backward_one_pass
from awnlib.sweep import sweep_widths

WIDTHS = [1.0, 0.75, 0.5, 0.25]
Cases = dict[str, Callable[[], object]]


def main() -> None:
    """Measure everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", help="also write the table to this parquet file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    images = torch.randn(options.batch_size, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch_size,))
    studies = {
        "training step": (training_steps(images, labels), "plain step, 45 channels"),
        "sweep of 35 widths": (sweeps(images, labels), "one pass"),
        "four widths of one batch": (four_widths(images), "four separate networks"),
    }
    frames = [compare(name, cases, reference, options.rounds) for name, (cases, reference) in studies.items()]
    table = pd.concat(frames, ignore_index=True)
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), batch {options.batch_size}, {options.rounds} rounds"
    )
    print(table.to_string(index=False, float_format="{:.2f}".format))
    if options.output:
        table.to_parquet(options.output)


def lenet(**options: object) -> SlimmableModel:
    """Return a LeNet-3C1L in training mode and in the memory layout of the training engine."""
    model = create_model("lenet_3c1l", **options).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def training_steps(images: torch.Tensor, labels: torch.Tensor) -> Cases:
    """Forward and backward passes of one step, without the optimiser."""
    any_width, plain = lenet(base_width_mult=2**0.5), lenet(base_width_mult=2**0.5, layer="sliced")
    s_net = lenet(layer="sliced", norm="switchable")
    every = any_width.distinct_width_mults()
    return {
        "plain step, 45 channels": partial(backward_widths, plain, images, labels, [1.0]),
        "AWN, 4 widths, one pass": partial(backward_one_pass, any_width, images, labels, WIDTHS),
        f"AWN, all {len(every)} widths, one pass": partial(backward_one_pass, any_width, images, labels, every),
        "AWN, 4 widths, 4 passes": partial(backward_widths, any_width, images, labels, WIDTHS),
        "S-Net, 4 widths, 32 channels": partial(backward_widths, s_net, images, labels, WIDTHS),
    }


def sweeps(images: torch.Tensor, labels: torch.Tensor) -> Cases:
    """Accuracy at every width of an any-width network."""
    model = lenet(base_width_mult=2**0.5)

    @torch.no_grad()
    def width_by_width() -> None:
        model.eval()
        for width_mult in model.distinct_width_mults():
            model.set_width_mult(width_mult)
            model(images)

    return {
        "one pass": partial(sweep_widths, model, [(images, labels)]),
        "width by width": width_by_width,
    }


def four_widths(images: torch.Tensor) -> Cases:
    """Answers at four rising widths: plain networks cut out of the model, or one that is widened."""
    model = lenet(base_width_mult=2**0.5).eval()
    networks = [extract(model, width_mult, fold_bn=True) for width_mult in reversed(WIDTHS)]
    widened = AnytimeNetwork(model)

    @torch.no_grad()
    def separate() -> None:
        for network in networks:
            network(images)

    def anytime() -> None:
        widened.start(images)
        for width_mult in reversed(WIDTHS):
            widened.logits(width_mult)

    return {"four separate networks": separate, "widened step by step": anytime}


def compare(study: str, cases: Cases, reference: str, rounds: int) -> pd.DataFrame:
    """Return the time of each case relative to the reference, measured in turn after one round of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, case in cases.items():
            started = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - started)
    times = pd.DataFrame(seconds).iloc[1:]
    ratios = times.div(times[reference], axis=0)
    return pd.DataFrame(
        {
            "study": study,
            "case": list(cases),
            "ratio": ratios.median().to_numpy(),
            "lower quartile": ratios.quantile(0.25).to_numpy(),
            "upper quartile": ratios.quantile(0.75).to_numpy(),
            "ms": 1000 * times.median().to_numpy(),
        }
    )


if __name__ == "__main__":
    main()
