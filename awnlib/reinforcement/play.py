"""What an agent's widths are worth: the returns of whole games."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from awnlib.layers import SlimmableNetwork
from awnlib.one_pass import is_any_width
from awnlib.reinforcement.environments import Games, to_input
from awnlib.reinforcement.rollout import choose, game_seed
from awnlib.seeding import rng


@torch.no_grad()
def play(
    model: SlimmableNetwork, environment: str, width_mults: Sequence[float], *, count: int, longest: int, seed: int
) -> Tensor:
    """Return the sum of the rewards of each game, `[widths, count]`; rewards are not clipped.

    All widths play the games of the same seeds, with the same random numbers where policies leave a choice. The first
    game in each of as many places counts: of the first games to end short ones would be too many.

    Parameters
    ----------
    model
        Is left at the last width.
    environment
        As of `Games`.
    width_mults
        The widths, which play side by side: those of an any-width network in one pass.
    count
        Games of each width.
    longest
        Steps after which a game that goes on counts as it is.
    seed
        Of games and actions.
    """
    games = Games(environment, len(width_mults) * count)
    seeds = [game_seed(seed, "play", index) for index in range(count)]
    games.begin({place: seeds[place % count] for place in range(games.count)})
    generator, device = rng(seed, "play"), next(model.parameters()).device
    returns, over = torch.zeros(games.count), torch.zeros(games.count, dtype=torch.bool)
    for _ in range(longest):
        draws = torch.rand(count, generator=generator).repeat(len(width_mults))
        goes_on = (~over).nonzero()[:, 0]
        inputs = to_input(games.seen[goes_on].to(device), is_binary=games.is_binary)
        outputs = _outputs(model, inputs, [int(n) for n in (~over).reshape(-1, count).sum(dim=1)], width_mults)
        actions = torch.zeros(games.count, dtype=torch.int64)
        actions[goes_on] = choose(outputs.float().cpu(), draws[goes_on])
        played = games.step(actions)
        returns += played.rewards.masked_fill(over, 0.0)
        over |= played.ended
        if over.all():
            break
    return returns.reshape(len(width_mults), count)


def _outputs(model: SlimmableNetwork, inputs: Tensor, counts: Sequence[int], width_mults: Sequence[float]) -> Tensor:
    """Return the outputs for inputs of which each width has the next so many."""
    asked = [(width_mult, number) for width_mult, number in zip(width_mults, counts, strict=True) if number]
    numbers = [number for _, number in asked]
    if is_any_width(model) and len(asked) > 1:
        head = model.head
        assert head is not None
        model.set_width_mult(max(width_mult for width_mult, _ in asked))
        kept = torch.tensor([head.channels_in.count(width_mult) for width_mult, _ in asked], device=inputs.device)
        parts = zip(torch.split(model.features(inputs), numbers), kept, strict=True)
        return torch.cat([head.prefix_outputs(features, count[None])[0] for features, count in parts])
    outputs = []
    for (width_mult, _), part in zip(asked, torch.split(inputs, numbers), strict=True):
        model.set_width_mult(width_mult)
        outputs.append(model(part))
    return torch.cat(outputs)
