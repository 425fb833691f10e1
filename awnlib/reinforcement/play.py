"""What an agent's widths are worth: the returns of whole games."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from torch import Tensor

from awnlib.layers import SlimmableNetwork
from awnlib.one_pass import is_any_width
from awnlib.reinforcement.environments import Games, to_input
from awnlib.reinforcement.rollout import choose, game_seeds
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
    seeds = game_seeds(seed, "play", count=count)
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
        played = games.step(actions, goes_on.tolist())
        returns += played.rewards.masked_fill(over, 0.0)
        over |= played.ended
        if over.all():
            break
    return returns.reshape(len(width_mults), count)


@torch.no_grad()
def watch(
    model: SlimmableNetwork, environment: str, width_mult: float, *, longest: int, seed: int
) -> list[tuple[Tensor, float]]:
    """Return what is seen before each step of the first game of `play`, a picture, and the points by then.

    Parameters
    ----------
    model, environment, longest, seed
        As of `play`.
    width_mult
        The width that plays.

    Returns
    -------
    list
        Pictures of type uint8, `[3, H, W]`, of a stack of frames the last one, of ones and zeros a colour for each
        channel; the last one is of the end.
    """
    games = Games(environment, 1)
    games.begin({0: game_seeds(seed, "play", count=1)[0]})
    model.set_width_mult(width_mult)
    generator, device = rng(seed, "play"), next(model.parameters()).device
    frames, points = [(_picture(games.seen[0], games.is_binary), 0.0)], 0.0
    for _ in range(longest):
        outputs = model(to_input(games.seen.to(device), is_binary=games.is_binary))
        played = games.step(choose(outputs.float().cpu(), torch.rand(1, generator=generator)))
        points += float(played.rewards)
        frames.append((_picture(played.seen[0], games.is_binary), points))
        if played.ended:
            break
    return frames


def _picture(seen: Tensor, is_binary: bool) -> Tensor:
    if not is_binary:
        return seen[-1:].expand(3, -1, -1)
    hues = [colorsys.hsv_to_rgb(channel / len(seen), 0.6, 1.0) for channel in range(len(seen))]
    colors = 255 * torch.tensor([(0.0, 0.0, 0.0), *hues])
    top = (seen * torch.arange(1, len(seen) + 1, dtype=torch.uint8)[:, None, None]).amax(dim=0)
    return colors[top.long()].permute(2, 0, 1).to(torch.uint8)


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
