"""Games: a seed and the actions decide them, whatever happens beside them or was before."""

import sys

import pytest
import torch

from awnlib.reinforcement.environments import Games, to_input

MINATAR, LAMPS, WIRES = "MinAtar/Breakout-v1", "tests.toys.lamps:Lamps-v0", "tests.toys.lamps:Wires-v0"
ATARI = "BreakoutNoFrameskip-v4"
EVERY = pytest.mark.parametrize("environment", [MINATAR, LAMPS, ATARI])


def course(games, index, actions):
    """Return what is seen of one game, its rewards and whether it has ended, until it has."""
    seen, played = [games.seen[index].clone()], []
    for action in actions:
        found = games.step(action)
        seen.append(found.seen[index].clone())
        played.append((float(found.rewards[index]), bool(found.ended[index])))
        if found.ended[index]:
            break
    return torch.stack(seen), played


def some_actions(games, steps=12, seed=0):
    return torch.randint(games.num_actions, (steps, games.count), generator=torch.Generator().manual_seed(seed))


@EVERY
def test_a_game_follows_from_its_seed_and_its_actions(environment):
    games = Games(environment, 2)
    actions = some_actions(games)
    games.begin({0: 5, 1: 6})
    first, played = course(games, 1, actions)
    assert first.dtype == torch.uint8
    assert first.shape[1:] == games.shape
    games.step(actions[3])
    games.begin({1: 6})  # of other games beside it and after another one
    again, others = course(games, 1, actions)
    assert torch.equal(first, again)
    assert played == others
    games.begin({0: 5, 1: 7})
    assert not torch.equal(course(games, 1, actions)[0], first)


@EVERY
def test_the_others_go_on_when_one_begins_again(environment):
    games = Games(environment, 3)
    games.begin({0: 1, 1: 2, 2: 3})
    games.step(torch.zeros(3, dtype=torch.int64))
    before = games.seen.clone()
    games.begin({1: 9})
    assert torch.equal(games.seen[::2], before[::2])


def test_the_last_of_a_game_is_seen_and_one_that_is_cut_off_is_not_over():
    games = Games(LAMPS, 2)
    games.begin({0: 0, 1: 1})
    for turn in range(5):
        lit = games.seen[:, :, 0, 0].argmax(dim=1)
        played = games.step(torch.stack([lit[0], (lit[1] + 1) % 3]))
        assert played.rewards.tolist() == [1.0, 0.0]
        assert played.ended.tolist() == played.truncated.tolist() == [turn == 4] * 2
        assert not played.lost_life.any()
        assert torch.equal(played.seen, games.seen)
        assert played.seen[:, :, 0, 0].sum(dim=1).tolist() == [1, 1]
    last = played.seen.clone()
    games.begin({0: 2, 1: 3})
    assert torch.equal(played.seen, last)


def test_lives_are_told_from_ends():
    games = Games(WIRES, 1)
    games.begin({0: 0})
    for over in (False, True):
        played = games.step((games.seen[:, :, 0, 0].argmax(dim=1) + 1) % 3)
        assert (played.ended.item(), played.truncated.item(), played.lost_life.item()) == (over, False, True) or over
    assert played.ended
    assert not played.truncated


@pytest.mark.slow
def test_atari_games_go_on_for_ten_thousand_steps():
    """Four frames of 84x84 pixels; all five lives; scores as the game has them: upper bricks are worth 4 or 7."""
    games, steps = Games(ATARI, 8), 1250
    assert (games.shape, games.num_actions, games.is_binary) == ((4, 84, 84), 4, False)
    games.begin({index: index for index in range(8)})
    scores, lives, rewards = [], [], set()
    running, lost = torch.zeros(8), torch.zeros(8)
    for step, action in enumerate(some_actions(games, steps)):
        played = games.step(action)
        rewards |= set(played.rewards.tolist())
        running, lost = running + played.rewards, lost + played.lost_life
        for index in played.ended.nonzero()[:, 0].tolist():
            scores.append(running[index].item())
            lives.append(lost[index].item())
            running[index] = lost[index] = 0
        if played.ended.any():
            games.begin({index: 1000 * step + index for index in played.ended.nonzero()[:, 0].tolist()})
    assert len(scores) > 30
    assert 0.5 < sum(scores) / len(scores) < 2.5  # 1.3 was measured
    assert set(lives) <= {4.0, 5.0}  # the last one is lost at the end
    assert {0.0, 1.0} <= rewards <= {0.0, 1.0, 4.0, 7.0}


def test_what_is_seen_is_read_from_0_to_1():
    assert to_input(torch.tensor([0, 1], dtype=torch.uint8), is_binary=True).tolist() == [0.0, 1.0]
    assert to_input(torch.tensor([0, 255], dtype=torch.uint8), is_binary=False).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("Chess-v0", r"no environment 'Chess-v0': .*Chess"),
        ("no_such:Thing-v0", r"environment 'no_such:Thing-v0' needs the module no_such"),
        ("CartPole-v1", r"environment 'CartPole-v1' must show images of type uint8 or bool, found Box"),
    ],
)
def test_environments_that_cannot_be_played_are_refused(environment, message):
    with pytest.raises(ValueError, match=message):
        Games(environment, 1)


@pytest.mark.parametrize(("environment", "package"), [(MINATAR, "gymnasium"), (MINATAR, "minatar"), (ATARI, "ale_py")])
def test_without_the_packages_it_says_which_extra_has_them(environment, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "minatar":
        monkeypatch.setitem(sys.modules, "minatar.gym", None)
    with pytest.raises(
        ValueError, match=rf"environment '{environment}' needs the module .* \(pip install 'awnlib\[rl\]'\)"
    ):
        Games(environment, 1)
