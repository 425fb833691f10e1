r"""DMCP: channel counts as Markov chains, so that expected MACs have a gradient.

The channels of each dimension are `always` kept ones and groups of equal size. Group $k$ is kept, if the one before it
is, with probability $\sigma(\alpha_k)$, so with $P_k = \prod_{i \le k} \sigma(\alpha_i)$ in all; the expected count is
always + size $\sum_k P_k$. All layers of a dimension share one chain.

The first half of the search trains weights only: the largest network, the smallest one and two random ones. Then each
step of the weights is followed by one of the architecture, on the same batch: the features of each group are
multiplied by its $P_k$ after every norm (before the activation, also where the authors' code has it after a ReLU6), and
the task loss plus the budget loss of the expected MACs moves the $\alpha$. The two random networks of the second half
are drawn from the chains more and more often: uniformly with probability $q^f$ after a fraction $f$ of that half, $q$
being `uniform_end`. (The authors' code multiplies by 0.9999 in a share of the steps, so it depends on their number.)

With a `task_weight` of 0 the images have no part: no weights are trained, and each step of the architecture follows the
budget loss alone. It costs nothing, and what it finds is what the budget and the network's shape say by themselves.

References
----------
Guo et al., DMCP: Differentiable Markov Channel Pruning for Neural Networks, sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.budget import TOLERANCE
from awnlib.seeding import rng
from awnlib.width_transfer.costs import total_macs
from awnlib.width_transfer.ledger import INPUT_GRADIENTS
from awnlib.width_transfer.optimizer import Batch, Problem, SupernetOptimizer
from awnlib.width_transfer.options import DMCPSettings

BAND = 0.05
"""Expected MACs up to this fraction below the budget are as good as the budget."""


class Chain:
    """The channels of one dimension as a Markov chain.

    Parameters
    ----------
    full, smallest
        Channels in all, and how many are kept at least.
    size, groups
        Channels in a group, and groups at most; there are fewer if channels do not suffice.

    Attributes
    ----------
    always
        Channels that are always kept: those that belong to no group.
    alpha
        Logits of keeping a group if the one before is kept, `[groups]`, 0 at first.
    """

    def __init__(self, full: int, smallest: int, size: int, groups: int, device: torch.device | None = None) -> None:
        self.size = size
        self.groups = min(groups, (full - smallest) // size)
        self.always = full - size * self.groups
        self.alpha = torch.zeros(self.groups, device=device, requires_grad=True)

    def keep(self) -> Tensor:
        """Return the probability that each group is kept, `[groups]`, falling."""
        return self.alpha.sigmoid().cumprod(0)

    def expected(self) -> Tensor:
        """Return the expected number of channels."""
        return self.always + self.size * self.keep().sum()

    def gates(self) -> Tensor:
        """Return the probability that each channel is kept, `[full]`."""
        keep = self.keep()
        return torch.cat([keep.new_ones(self.always), keep.repeat_interleave(self.size)])

    def uniform(self, generator: torch.Generator) -> int:
        """Return a count with every number of groups equally likely."""
        return self.always + self.size * int(torch.randint(self.groups + 1, (), generator=generator))

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> int:
        """Return a count from the chain: groups up to the first that is not kept."""
        kept = torch.rand(self.groups, generator=generator) < self.alpha.sigmoid().cpu()
        return self.always + self.size * int(kept.int().cumprod(0).sum())


class DMCP(SupernetOptimizer):
    """Train weights, then weights and chains in turn.

    Raises
    ------
    ValueError
        If the budget is outside the network's range, or sampled counts do not meet it.
    """

    settings: DMCPSettings

    def __init__(self, problem: Problem, settings: DMCPSettings, seed: int, device: torch.device) -> None:
        super().__init__(problem, settings, seed, device)
        self.chains = self._create_chains(device)
        self.gates: dict[str, Tensor] = {}
        for _, norm in self.model.norms():
            norm.register_forward_hook(partial(self._gate, norm.channels.name))
        self.optimizer = torch.optim.SGD(
            [chain.alpha for chain in self.chains.values()],
            lr=settings.architecture_lr,
            momentum=0.9,
            nesterov=True,
        )
        for chain in self.chains.values():  # so that a checkpoint finds and fills them
            self.optimizer.state[chain.alpha]["momentum_buffer"] = torch.zeros_like(chain.alpha)

    def smallest_counts(self) -> dict[str, int]:
        """Return what the chains always keep."""
        return {name: chain.always for name, chain in self._create_chains(torch.device("cpu")).items()}

    def backward(self, images: Tensor, labels: Tensor, step: int, progress: float) -> Tensor:
        """Add the gradients of the sandwich; the chains have no part in it but as a source of random networks."""
        if self.settings.is_blind:
            return images.new_zeros(())
        generator = rng(self.seed, "widths", step)
        drawn = [self._random_counts(progress, generator) for _ in range(self.settings.num_random)]
        return self.backward_sandwich(images, labels, drawn)

    def after_step(self, parts: Sequence[Batch], progress: float) -> None:
        """Take a step of the architecture in the second part of the search."""
        done = self._second_part(progress)
        if done < 0:
            return
        low = self.settings.architecture_lr_end
        lr = self.settings.architecture_lr * (low + (1 - low) * (1 + math.cos(math.pi * done)) / 2)
        self.optimizer.param_groups[0]["lr"] = lr
        alphas = [chain.alpha for chain in self.chains.values()]
        gradients = [torch.autograd.grad(self.architecture_loss(*part), alphas) for part in parts]
        for alpha, several in zip(alphas, zip(*gradients, strict=True), strict=True):
            alpha.grad = torch.stack(several).mean(dim=0)
        self.optimizer.step()
        if self.settings.is_blind:
            return
        num_images = sum(len(labels) for _, labels in parts)
        self.ledger.spend("architecture step", self.problem.macs(self.full), num_images, backward=INPUT_GRADIENTS)

    def architecture_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of the largest network with gates, plus the budget loss, both weighted."""
        settings = self.settings
        task = 0.0 if settings.is_blind else settings.task_weight * self._task_loss(images, labels)
        return task + settings.budget_weight * budget_loss(self.expected_macs() / self.problem.budget)

    def _task_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        self.model.set_widths(self.widths(self.full))
        self.gates = {name: chain.gates() for name, chain in self.chains.items()}
        try:
            return F.cross_entropy(self.model(images), labels)
        finally:
            self.gates = {}

    def expected_macs(self) -> Tensor:
        """Return the MACs of the expected counts; counts of different dimensions are independent."""
        expected = {name: chain.expected() for name, chain in self.chains.items()}
        one = next(iter(expected.values())).new_ones(())
        return total_macs(self.problem.layers, lambda channels: expected.get(channels.name, channels.full * one))

    def end_epoch(self, epoch: int) -> None:
        """Record the expected counts."""
        self.record(epoch, self._expected_counts(), float(self.expected_macs().detach()))

    def multipliers(self) -> dict[str, float]:
        """Return the expected counts, or sampled ones, relative to the un-optimised ones."""
        counts = self._expected_counts() if self.settings.sampling == "expected" else self._sampled_counts()
        return self.problem.multipliers(counts)

    def tensors(self) -> dict[str, Tensor]:
        """Return the chains and the momentum of their steps."""
        alphas = {f"alpha.{name}": chain.alpha for name, chain in self.chains.items()}
        momenta = {
            f"alpha_momentum.{name}": self.optimizer.state[chain.alpha]["momentum_buffer"]
            for name, chain in self.chains.items()
        }
        return alphas | momenta

    def _create_chains(self, device: torch.device) -> dict[str, Chain]:
        settings, chains = self.settings, {}
        groups = int((settings.enlargement - settings.min_width_mult) / settings.offset + 1e-4)
        smallest = super().smallest_counts()
        for name, full in self.full.items():
            size = max(1, int(settings.offset * full / settings.enlargement + 1e-9))
            chains[name] = Chain(full, smallest[name], size, groups, device)
        return chains

    def _second_part(self, progress: float) -> float:
        """Return the fraction of the second part that is done; negative in the first part."""
        return (progress - self.settings.weights_only) / (1 - self.settings.weights_only)

    def _random_counts(self, progress: float, generator: torch.Generator) -> dict[str, int]:
        share = self.settings.uniform_end ** max(self._second_part(progress), 0.0)
        if torch.rand((), generator=generator) < share:
            return {name: chain.uniform(generator) for name, chain in self.chains.items()}
        return {name: chain.sample(generator) for name, chain in self.chains.items()}

    def _expected_counts(self) -> dict[str, float]:
        return {name: float(chain.expected().detach()) for name, chain in self.chains.items()}

    def _sampled_counts(self) -> Mapping[str, int]:
        """Return the first draw from the chains that costs the budget."""
        generator, budget = rng(self.seed, "final_counts"), self.problem.budget
        for _ in range(self.settings.most_tries):
            counts = {name: chain.sample(generator) for name, chain in self.chains.items()}
            if abs(self.problem.macs(counts) - budget) <= TOLERANCE * budget:
                return counts
        expected = float(self.expected_macs().detach())
        raise ValueError(
            f"none of {self.settings.most_tries} sampled networks costs {budget:,} MACs within {TOLERANCE:.0%}: the "
            f"chains expect {expected:,.0f}; raise budget_weight or most_tries, or use sampling 'expected'"
        )

    def _gate(self, name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Multiply the features after a norm by the gates of its dimension, while there are any."""
        gates = self.gates.get(name)
        return output if gates is None else output * gates.to(output.dtype)[:, None, None]


def budget_loss(ratio: Tensor) -> Tensor:
    """Return the budget loss of expected MACs relative to the budget: log-l1 with a band.

    The logarithm of the distance to the budget from below, to the lower end of the band from above; 0 inside. In units
    of the budget, which moves it by a constant only.
    """
    if ratio < 1 - BAND:
        return (1 - ratio).log()
    return (ratio - (1 - BAND)).log() if ratio >= 1 else 0 * ratio
