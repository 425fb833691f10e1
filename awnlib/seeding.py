"""Random numbers by name: every random choice of a run is drawn from ``rng(seed, purpose, ...)``.

A generator depends on the seed and the purpose alone, not on what was drawn before, so that a resumed run draws
the same numbers without a saved state, and a new use of randomness changes no other one.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def rng(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator whose state depends on the arguments only.

    Parameters
    ----------
    seed
        The seed of the run.
    purpose
        What the numbers are for, such as ``"epoch_order", 3``. ``3`` and ``"3"`` are different purposes.

    Examples
    --------
    >>> torch.randperm(4, generator=rng(0, "epoch_order", 3))  # the same in every process
    tensor([2, 0, 3, 1])
    """
    # Not hash(): Python salts the hashes of strings anew in every process.
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Let torch's global CPU generator draw what depends on the arguments of `rng` only, and put it back afterwards.

    For code that can be given no generator. Those of other devices are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng(seed, *purpose).initial_seed())
        yield


@contextmanager
def seeded_everywhere(seed: int, *purpose: str | int) -> Iterator[None]:
    """Do what `seeded` does for the global generators of Python and NumPy too, from which some libraries draw."""
    number = rng(seed, *purpose).initial_seed()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        with seeded(seed, *purpose):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
