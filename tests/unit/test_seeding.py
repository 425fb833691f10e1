import subprocess
import sys

import torch

from awnlib.seeding import rng, seeded


def draw(*arguments) -> list[int]:
    return torch.randint(1 << 30, (4,), generator=rng(*arguments)).tolist()


def test_depends_on_its_arguments_only():
    torch.manual_seed(1)
    first = draw(0, "epoch_order", 3)
    torch.manual_seed(2)
    assert draw(0, "epoch_order", 3) == first


def test_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    draw(0, "a")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_generator_is_borrowed_and_put_back():
    state = torch.get_rng_state()
    with seeded(0, "weights"):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(rng(0, "weights").initial_seed()))
    assert torch.equal(drawn, expected)


def test_every_argument_matters():
    arguments = [(0,), (1,), (0, "a"), (0, "b"), (0, "a", 1), (0, "a", "1"), (0, "a1"), (0, 1, "a"), (0, "a", 1, 1)]
    assert len({tuple(draw(*each)) for each in arguments}) == len(arguments)


def test_stays_the_same_in_other_processes():
    code = "import torch; from awnlib.seeding import rng; print(torch.randperm(4, generator=rng(0, 'epoch_order', 3)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    expected = torch.randperm(4, generator=rng(0, "epoch_order", 3))
    assert printed.strip() == str(expected)
    assert rng(0, "epoch_order", 3).initial_seed() == 18137934999273608433  # on every version of Python, too
