"""Convolutions of random shapes, outputs and both gradients against float64, under several instruction sets.

    python -m tests.fuzz_layers --cases 2000 --seed 0

The cases of an instruction set run in a child process, which says which case it begins: when it dies, the case is
known, and another child goes on with the next one. Where the C library has a checking allocator, a write outside of a
block's memory ends the child when the block is freed, whether or not it would have shown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ctypes.util import find_library
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, TriangularConv2d
from tests.reference import mask_slowly, staircase_slowly

INSTRUCTION_SETS = ("DEFAULT", "AVX2", "SSE41")
CHILD = (sys.executable, "-m", "tests.fuzz_layers", "--child")
ROUNDING = {"float32": 1e-5, "bfloat16": 2e-2}
"""The error that is allowed, as a share of what the same sums of absolute values give."""


@dataclass(frozen=True)
class Case:
    """One layer, its width and one batch."""

    kind: str
    ins: int
    outs: int
    width_mult: float
    kernel_size: int
    stride: int
    padding: int
    bias: bool
    batch: int
    height: int
    width: int
    channels_last: bool
    dtype: str
    seed: int


def draw_cases(num: int, seed: int) -> list[Case]:
    """Return random cases: few channels more often than many, since kernels treat the rest of a vector apart."""
    random_ = random.Random(seed)
    return [_draw(random_) for _ in range(num)]


def _draw(random_: random.Random) -> Case:
    def count() -> int:
        return random_.choice((random_.randint(1, 9), random_.randint(1, 9), random_.randint(10, 80)))

    kernel_size = random_.choice((1, 1, 2, 3, 5))
    return Case(
        kind=random_.choice(("sliced", "triangular", "depthwise")),
        ins=count(),
        outs=count(),
        width_mult=random_.choice((0.25, 0.5, 0.8, 1.0)),
        kernel_size=kernel_size,
        stride=random_.choice((1, 2, 2, 3)),
        padding=random_.choice((0, kernel_size // 2, random_.randint(0, 2))),
        bias=random_.random() < 0.5,
        batch=random_.randint(1, 6),
        height=random_.randint(kernel_size, 20),
        width=random_.randint(kernel_size, 20),
        channels_last=random_.random() < 0.6,
        dtype=random_.choice(("float32", "float32", "bfloat16")),
        seed=random_.randrange(2**31),
    )


def check(case: Case) -> None:
    """Raise an AssertionError if an output or a gradient of a layer is wrong."""
    torch.manual_seed(case.seed)
    layer, mask = _layer(case)
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    layer.to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(case.batch, layer.channels_in.active, case.height, case.width).to(memory_format=layout)
    images.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=case.dtype == "bfloat16"):
        output = layer(images)
    direction = torch.randn_like(output)
    output.backward(direction)

    exact, largest = (_float64(case, layer, mask, images, direction, absolute=which) for which in (False, True))
    assert images.grad is not None
    found = [output, images.grad, *(parameter.grad for parameter in layer.parameters())]
    names = ("output", "gradient of the input", "gradient of the weight", "gradient of the bias")
    for name, tensor, expected, scale in zip(names, found, exact, largest, strict=False):
        error = (_cut(tensor, expected).double() - expected).abs()
        wrong = ~(error <= ROUNDING[case.dtype] * scale)  # NaN is wrong
        assert not wrong.any(), f"{name}: {int(wrong.sum())} of {wrong.numel()} are wrong, by {error.max():.3g}"


def _layer(case: Case) -> tuple[SlimmableConv2d, Tensor]:
    """Return a layer at its width, and which of its active weights may be other than zero."""
    ins = Channels(case.ins)
    outs = ins if case.kind == "depthwise" else Channels(case.outs)
    kind = TriangularConv2d if case.kind == "triangular" else SlimmableConv2d
    groups = ins.full if case.kind == "depthwise" else 1
    shape = {"stride": case.stride, "padding": case.padding, "groups": groups, "bias": case.bias}
    layer = kind(ins, outs, case.kernel_size, **shape)
    for channels in (ins, outs):
        channels.set_width_mult(case.width_mult)
    mask = torch.ones(layer.active_weight().shape[:2], dtype=torch.float64)
    if case.kind == "triangular":
        mask = mask_slowly(staircase_slowly(ins, outs), ins.full)[: outs.active, : ins.active].double()
    return layer, mask[:, :, None, None]


def _float64(
    case: Case, layer: SlimmableConv2d, mask: Tensor, images: Tensor, direction: Tensor, *, absolute: bool
) -> list[Tensor]:
    """Return the output and the gradients of input, weight and bias, of all numbers or of their absolute values."""
    dtype = getattr(torch, case.dtype)
    rows, columns = mask.shape[:2]
    bias = layer.bias if layer.bias is not None else torch.zeros(rows)
    numbers = [images, layer.weight[:rows, :columns], bias[:rows]]
    leaves = [(x.abs() if absolute else x).detach().to(dtype).double().requires_grad_() for x in numbers]
    groups = rows if case.kind == "depthwise" else 1
    output = F.conv2d(leaves[0], leaves[1] * mask, leaves[2], case.stride, case.padding, groups=groups)
    output.backward((direction.abs() if absolute else direction).double())
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def _cut(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the active part of a gradient of full size; raise an AssertionError if anything else is not zero."""
    active = tensor.detach()[tuple(slice(size) for size in like.shape)]
    assert tensor.count_nonzero() == active.count_nonzero(), "numbers outside of the active part"
    return active


def failures(cases: Sequence[Case], instruction_set: str, child: Sequence[str] = CHILD) -> dict[int, str]:
    """Return by number of the case what went wrong: a message, or how the process died."""
    found: dict[int, str] = {}
    start = 0
    while start < len(cases):
        process = subprocess.run(
            [*child], input=json.dumps([asdict(case) for case in cases[start:]]), capture_output=True, text=True,
            cwd=Path(__file__).parents[1], env=_environment(instruction_set), check=False,
        )  # fmt: skip
        last = -1  # the case that was begun last
        for line in process.stdout.splitlines():
            number, _, message = line.partition(" ")
            last = int(number)
            if message:
                found[start + last] = message
        if process.returncode == 0:
            break
        if last < 0:
            raise RuntimeError(f"no case was begun: {process.stderr}")
        start += last + 1
        found[start - 1] = f"exit code {process.returncode}: {process.stderr.strip()[-300:]}"
    return found


def _environment(instruction_set: str) -> dict[str, str]:
    checks = {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    if find_library("c_malloc_debug"):
        checks["LD_PRELOAD"] = find_library("c_malloc_debug") or ""
    return {**os.environ, "ONEDNN_MAX_CPU_ISA": instruction_set, "OMP_NUM_THREADS": "1", **checks}


def run_as_child() -> None:
    """Check the cases of the standard input: the number of each as it begins, then what is wrong with it."""
    for number, fields in enumerate(json.load(sys.stdin)):
        print(number, flush=True)
        try:
            check(Case(**fields))
        except AssertionError as error:
            print(number, str(error).replace("\n", " "), flush=True)


def _report(num: int, seed: int, instruction_sets: Sequence[str]) -> Iterator[str]:
    cases = draw_cases(num, seed)
    for name in instruction_sets:
        found = failures(cases, name)
        crashes = sum(message.startswith("exit code") for message in found.values())
        yield f"{name}: {num} cases, {len(found) - crashes} wrong, {crashes} crashed"
        yield from (f"  {cases[number]}: {message}" for number, message in found.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instruction-sets", nargs="+", default=INSTRUCTION_SETS)
    parser.add_argument("--child", action="store_true", help="read cases from the standard input")
    options = parser.parse_args()
    if options.child:
        run_as_child()
    else:
        for line in _report(options.cases, options.seed, options.instruction_sets):
            print(line, flush=True)
