"""A bounded part of the fuzz of all layers (`python -m tests.fuzz_layers` is the whole), and the fuzz itself."""

import sys
from dataclasses import replace

import pytest
import torch

from tests import fuzz_layers
from tests.fuzz_layers import INSTRUCTION_SETS, check, draw_cases, failures

NUM_CASES = 500

# Runs the real child with a layer that kills its process, and one that is wrong.
BROKEN = """
import os
from tests import fuzz_layers
check = fuzz_layers.check
def broken(case):
    if case.seed == 1: os.abort()
    if case.seed == 2: raise AssertionError("wrong")
    check(case)
fuzz_layers.check = broken
fuzz_layers.run_as_child()
"""


@pytest.mark.slow
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_layers_of_random_shapes(instruction_set):
    assert failures(draw_cases(NUM_CASES, seed=0), instruction_set) == {}


def test_the_cases_hold_the_kernels_that_were_at_fault():
    strided = [case for case in draw_cases(NUM_CASES, seed=0) if case.kernel_size == 1 < case.stride]
    faulty = [case for case in strided if case.channels_last and not case.padding and case.ins < 8]
    assert {case.dtype for case in faulty} == {"float32", "bfloat16"}


@pytest.mark.slow
def test_a_death_and_a_wrong_number_belong_to_their_cases():
    cases = [replace(case, seed=seed) for case, seed in zip(draw_cases(5, seed=0), (0, 1, 2, 3, 1), strict=True)]
    found = failures(cases, "DEFAULT", child=[sys.executable, "-c", BROKEN])
    assert {number: message[:13] for number, message in found.items()} == {
        1: "exit code -6:",
        2: "wrong",
        4: "exit code -6:",
    }


def test_a_child_that_does_not_start_is_an_error():
    with pytest.raises(RuntimeError, match=r"no case was begun: .*nonsense"):
        failures(draw_cases(2, seed=0), "DEFAULT", child=[sys.executable, "-c", "raise SystemExit('nonsense')"])


@pytest.mark.parametrize("kind", ["sliced", "triangular", "depthwise"])
@pytest.mark.parametrize("wrong", ["weight", "images"])
def test_one_wrong_number_is_found(monkeypatch, kind, wrong):
    """Half a percent of one weight, or of one pixel's gradient: what a bad kernel may do."""
    case = replace(draw_cases(1, seed=0)[0], kind=kind, ins=6, outs=6, kernel_size=1, padding=0, dtype="float32")
    check(case)
    layer_of = fuzz_layers._layer

    def spoil(*args):
        layer, mask = layer_of(*args)
        if wrong == "weight":
            layer.weight.register_hook(lambda grad: grad * (1 + 0.005 * (grad == grad.max())))
        else:
            layer.register_full_backward_hook(
                lambda _, grads, __: (grads[0] * torch.where(grads[0] == grads[0].max(), 1.005, 1.0),)
            )
        return layer, mask

    monkeypatch.setattr(fuzz_layers, "_layer", spoil)
    with pytest.raises(AssertionError, match=f"gradient of the {'weight' if wrong == 'weight' else 'input'}: 1 of "):
        check(case)
