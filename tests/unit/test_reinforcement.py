"""Agents: what their roll-outs teach, games that are resumed, tests of all widths, and a game that every width wins."""

import copy
import io

import pytest
import torch
from PIL import Image

from awnlib import create_model
from awnlib.reinforcement.environments import Games
from awnlib.reinforcement.play import play, watch
from awnlib.reinforcement.rollout import Arena, choose, collect
from awnlib.seeding import rng
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import Distillation, Draw, create_task, task_settings
from awnlib.training.engine import build_model, train

LAMPS, WIRES = "tests.toys.lamps:Lamps-v0", "tests.toys.lamps:Wires-v0"
WIDTHS = [1.0, 0.5, 0.25]
SETTINGS = {"environment": LAMPS, "num_envs": 16, "num_steps": 10, "clip": 0.2, "rollouts": 30}
TRAIN = {"num_epochs": 1, "batch_size": 40, "optimizer": "adam", "lr": 0.005, "schedule": "linear"}
METHODS = {
    "us_net": {"norm": "shared", "recalibration": []},
    "us_net_policy": {"base": "us_net", "distance": "policy"},
    "awn_policy": {"base": "awn", "distillation": True, "distance": "policy"},
}


def run_of(method, train=(), **settings):
    return runs(
        parse_study(
            {
                "study": "lamps",
                "seeds": [0],
                "task": "reinforcement",
                "task_settings": {**SETTINGS, **settings},
                "methods": METHODS,
                "widths": WIDTHS,
                "models": {"nature_cnn": {"options": {"convolutions": [[16, 2, 1]], "hidden": 64}}},
                "train": {**TRAIN, **dict(train)},
                "exhibits": {
                    "any_width_networks.table2": {
                        "panels": [{"model": "nature_cnn", "dataset": "lamps"}],
                        "methods": [method],
                    }
                },
            }
        )
    )[0]


def begun(method, **settings):
    run = run_of(method, **settings)
    task = create_task(run.task, run.task_settings)
    model = build_model(run, *task.network_shape()).train()
    task.begin(run, model)
    return task, model


def scripted(seen):
    """An agent that is nearly sure of the lit lamp, and values what it sees by the lamp's number."""
    lit = seen[:, :, 0, 0].float()
    return torch.cat([50 * lit, lit.argmax(dim=1, keepdim=True).float()], dim=1)


# --- roll-outs -------------------------------------------------------------------------------------------------------


def test_actions_are_drawn_by_their_probabilities():
    outputs = torch.tensor([0.2, 0.5, 0.3, 7.0]).log().repeat(5, 1)
    assert choose(outputs, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71])).tolist() == [0, 0, 1, 1, 2]
    many = choose(outputs[:1].expand(100_000, -1), torch.rand(100_000, generator=rng(0, "draws")))
    torch.testing.assert_close(many.bincount() / 1e5, torch.tensor([0.2, 0.5, 0.3]), atol=0.01, rtol=0)


def test_a_roll_out_has_what_was_seen_done_and_to_be_learnt():
    """With a lambda of 0, an advantage is the reward and the discounted next value, less the value."""
    arena = Arena(LAMPS, 2, seed=3)
    found = collect(scripted, arena, torch.full((7, 2), 0.5), discount=0.9, gae_lambda=0.0, clip_rewards=True)
    lit = found.seen.reshape(7, 2, 3, 4, 4)[..., 0, 0].float().argmax(dim=2)
    actions, log_probs, advantages, returns, values = found.targets.reshape(7, 2, 5).unbind(2)
    assert torch.equal(actions.long(), lit)
    assert torch.equal(values.long(), lit)
    assert log_probs.abs().max() < 1e-6
    torch.testing.assert_close(returns[0], 1 + 0.9 * values[1])
    raw = (returns - values).flatten()
    torch.testing.assert_close(advantages.flatten(), (raw - raw.mean()) / raw.std())


@pytest.mark.parametrize("environment", [LAMPS, WIRES])
def test_a_game_that_is_cut_off_is_worth_what_is_seen_last_and_a_lost_life_ends_one(environment):
    """Always the wrong lamp: no reward, so that returns tell what came after the step."""
    arena, seen = Arena(environment, 1, seed=0), []

    def wrong(places):
        seen.append(places)
        return torch.cat([-50 * places[:, :, 0, 0].float(), torch.full((len(places), 1), 8.0)], dim=1)

    found = collect(wrong, arena, torch.full((6, 1), 0.5), discount=0.5, gae_lambda=0.0, clip_rewards=True)
    returns = found.targets[:, 3]
    if environment == LAMPS:  # cut off after five turns: half of the value that the last picture has
        assert returns.tolist() == [4.0] * 6
        assert len(seen) == 8  # six steps, the cut, and what follows the roll-out
        assert not torch.equal(seen[5], found.seen[5:6])
    else:  # each step loses a life
        assert returns.tolist() == [0.0] * 6
        assert list(arena.finished) == [0.0] * 3


def test_the_learner_sees_the_sign_of_rewards_if_it_is_to(monkeypatch):
    step = Games.step

    def generous(self, actions):
        played = step(self, actions)
        played.rewards.mul_(5)
        return played

    monkeypatch.setattr(Games, "step", generous)
    sums = {}
    for clip in (True, False):
        arena = Arena(LAMPS, 2, seed=3)
        options = {"discount": 0.0, "gae_lambda": 0.0, "clip_rewards": clip}
        sums[clip] = collect(scripted, arena, torch.full((5, 2), 0.5), **options).targets[:, 3].tolist()
        assert list(arena.finished) == [25.0, 25.0]
    assert sums == {True: [1.0] * 10, False: [5.0] * 10}


@pytest.mark.parametrize("environment", [LAMPS, WIRES, "MinAtar/Breakout-v1", "BreakoutNoFrameskip-v4"])
def test_games_go_on_where_they_were(environment):
    arena = Arena(environment, 3, seed=1)
    actions = torch.randint(arena.games.num_actions, (60, 3), generator=rng(0, "actions"))
    for step in range(40):
        arena.step(actions[step])
    state = copy.deepcopy(arena.state())
    assert len(state["actions"]) == int(state["ages"].max())
    again = Arena(environment, 3, seed=1)
    again.load_state(state)
    again.finished.clear()
    arena.finished.clear()
    for step in range(40, 60):
        one, other = arena.step(actions[step]), again.step(actions[step])
        assert torch.equal(one.seen, other.seen)
        assert torch.equal(one.ended, other.ended)
    assert list(arena.finished) == list(again.finished)
    assert arena.finished or environment == "BreakoutNoFrameskip-v4"  # those are longer


def test_games_that_do_not_repeat_themselves_are_begun_anew_and_it_is_said(capsys):
    arena = Arena(LAMPS, 2, seed=1)
    arena.step(torch.zeros(2, dtype=torch.int64))
    state = arena.state()
    state["seen"] = 1 - state["seen"]
    arena.load_state(state)
    assert "the games do not repeat themselves: new ones begin" in capsys.readouterr().err
    assert arena.state()["numbers"].tolist() == [1, 1]
    assert arena.state()["ages"].tolist() == [0, 0]


# --- tests of all widths ---------------------------------------------------------------------------------------------


def agent(layer="triangular"):
    torch.manual_seed(0)
    games = Games("MinAtar/Breakout-v1", 1)
    model = create_model("nature_cnn", input_shape=games.shape, num_classes=games.num_actions + 1, layer=layer)
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


@pytest.mark.parametrize("layer", ["triangular", "sliced"])
def test_all_widths_side_by_side_play_as_each_alone(layer):
    model, options = agent(layer), {"count": 6, "longest": 60, "seed": 4}
    together = play(model, "MinAtar/Breakout-v1", WIDTHS, **options)
    alone = [play(model, "MinAtar/Breakout-v1", [width_mult], **options)[0] for width_mult in WIDTHS]
    assert torch.equal(together, torch.stack(alone))
    assert len({tuple(row) for row in together.tolist()}) > 1


def test_the_first_game_of_each_place_counts(monkeypatch):
    """Slowly: one game at a time, with the numbers of its place."""
    model, count = agent(), 5
    found = play(model, "MinAtar/Breakout-v1", [0.5], count=count, longest=1000, seed=4)[0]
    generator = rng(4, "play")
    draws = torch.stack([torch.rand(count, generator=generator) for _ in range(1000)])
    games, seeds = Games("MinAtar/Breakout-v1", 1), torch.randint(2**31 - 1, (count,), generator=rng(4, "play"))
    for place in range(count):
        games.begin({0: int(seeds[place])})
        total = 0.0
        for draw in draws[:, place]:
            played = games.step(choose(model(games.seen.float()).detach(), draw[None]))
            total += float(played.rewards)
            if played.ended:
                break
        assert total == found[place]


def test_a_game_that_is_too_long_counts_as_it_is():
    model = agent()
    assert play(model, "MinAtar/Breakout-v1", [1.0], count=2, longest=1, seed=0).tolist() == [[0.0, 0.0]]


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["awn", "awn_policy", "us_net", "us_net_policy"])
def test_every_width_wins_a_game_whose_best_play_is_known(method):
    run = run_of(method)
    result = train(run)
    task = create_task(run.task, task_settings("reinforcement", {**SETTINGS, "test_games": 50}))
    rows = {(row["width_mult"], row["metric"]): row["score"] for row in task.evaluate(result.model, WIDTHS)}
    assert all(rows[width_mult, "mean_return"] > 4.5 for width_mult in WIDTHS), rows  # of 5; at random 1.7
    curve = [row for row in result.history if row["metric"] == "environment_steps"]
    assert {(row["width_mult"], row["score"]) for row in curve} == {(width_mult, 4800.0) for width_mult in WIDTHS}


def test_the_widest_network_alone_plays(monkeypatch):
    task, model = begun("us_net")
    widths = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, x: widths.append(self.extra_repr()) or forward(self, x))
    task.step(model, Draw(0, [0.25]))
    assert set(widths[:-1]) == {"width_mult=1.0"}
    assert widths[-1] == "width_mult=0.25"


def test_with_a_distance_narrower_widths_learn_from_the_widest_alone():
    """Their losses do not depend on what happened, which the widest one's does."""
    for rule, same in ((Distillation("policy"), True), (Distillation(), False), (None, False)):
        losses = []
        for rewards in (1.0, 3.0):
            task, model = begun("us_net")
            task.settings.__dict__["clip_rewards"] = False
            task.step(model, Draw(0, [1.0]))
            task._rollout.targets[:, 3] *= rewards
            model.zero_grad()
            losses.append(task.step(model, Draw(1, WIDTHS, distillation=rule)).losses)
        assert losses[0][0] != losses[1][0]
        assert torch.equal(losses[0][1:], losses[1][1:]) == same


def test_long_gradients_are_shortened():
    norms = []
    for longest in (None, 0.01):
        task, model = begun("us_net", max_grad_norm=longest)
        task.step(model, Draw(0, WIDTHS))
        norms.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item())
    assert norms[0] > 0.02
    assert norms[1] == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"batch_size": 50}, r"train\.batch_size must divide a roll-out, .* \(160\), found 50"),
        ({"num_processes": 2}, r"train\.num_processes must be 1 for this task, found 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(train, message):
    run = run_of("us_net", train)
    task = create_task(run.task, run.task_settings)
    with pytest.raises(ValueError, match=message):
        task.begin(run, build_model(run, *task.network_shape()))


def test_a_game_is_watched_as_it_is_played():
    model, games = agent(), Games("MinAtar/Breakout-v1", 1)
    frames = watch(model, "MinAtar/Breakout-v1", 0.5, longest=1000, seed=4)
    assert frames[-1][1] == play(model, "MinAtar/Breakout-v1", [0.5], count=1, longest=1000, seed=4).item()
    points = [score for _, score in frames]
    assert points == sorted(points)
    games.begin({0: int(torch.randint(2**31 - 1, (1,), generator=rng(4, "play")))})
    first = frames[0][0]
    assert (first.shape, first.dtype) == ((3, 10, 10), torch.uint8)
    assert torch.equal(first.any(dim=0), games.seen[0].any(dim=0))  # black where nothing is seen
    bricks = first[:, games.seen[0, 3] == 1]
    assert torch.equal(bricks, bricks[:, :1].expand_as(bricks))  # of one colour


def test_pictures_of_a_game_are_spread_over_it():
    task, model = begun("awn")
    rows = task.evaluate_images(model.eval(), [1.0, 0.5, 0.25])
    assert {row["width_mult"] for row in rows} == {1.0, 0.25}
    assert [row["image"] for row in rows if row["width_mult"] == 1.0] == [f"step {turn}" for turn in range(6)]
    picture = Image.open(io.BytesIO(rows[0]["picture"]))
    assert (picture.size, picture.mode) == ((4, 4), "RGB")


def test_of_a_stack_of_frames_the_last_one_is_shown():
    torch.manual_seed(0)
    model = create_model("nature_cnn", input_shape=(4, 84, 84), num_classes=5, base_width_mult=0.25).eval()
    frames = watch(model, "BreakoutNoFrameskip-v4", 1.0, longest=2, seed=0)
    games = Games("BreakoutNoFrameskip-v4", 1)
    games.begin({0: int(torch.randint(2**31 - 1, (1,), generator=rng(0, "play")))})
    assert len(frames) == 3
    assert torch.equal(frames[0][0], games.seen[0, -1].expand(3, -1, -1))
